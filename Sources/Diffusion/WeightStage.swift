import Compute

/// A part of a run with the weights that it reads. Stages follow each other.
package struct WeightStage: Sendable {
  /// For plans and reports, such as `text encoder`.
  package let name: String
  package let weights: WeightStream
  /// Whether the weights are read again at each step, so that keeping them saves reading.
  package let isRepeated: Bool

  package init(_ name: String, _ weights: WeightStream, isRepeated: Bool = false) {
    self.name = name
    self.weights = weights
    self.isRepeated = isRepeated
  }
}
