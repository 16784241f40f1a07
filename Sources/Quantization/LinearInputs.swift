import BlockFormats
import LinearAlgebra
import Machine

/// Rows that enter some linear layers, all the same ones: the calibration data for which their
/// weights are rounded.
package final class LinearInputs: Sendable {
  /// `[rows, columns]`.
  private let rows: [Float]
  package let columns: Int
  /// What is added to the diagonal of their second moments, relative to its mean: how much other
  /// inputs may differ from these.
  package let damping: Double

  /// - Parameters:
  ///   - rows: `[rows, columns]`; finite, and so small that their squares can be added up.
  ///   - columns: of the layers.
  ///   - damping: see the property.
  package init?(rows: [Float], columns: Int, damping: Double) {
    guard columns > 0, !rows.isEmpty, rows.count % columns == 0, rows.allSatisfy({ abs($0) < 1e15 })
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.damping = damping
  }

  /// How many rows there are.
  package var count: Int { rows.count / columns }

  /// Prepares rounding to a type; nil where it cannot be, and weights are rounded without.
  ///
  /// - Throws: `ComputeError.outOfMemory`.
  package func quantizer(
    to type: ElementType
  ) throws(ComputeError) -> FeedbackQuantizer? {
    guard let library = OpenBLAS.shared else { return nil }
    let moments = try SecondMoments(columns: columns, library)
    rows.withUnsafeBufferPointer { rows in
      if let first = rows.baseAddress { moments.add(first, count: rows.count / columns) }
    }
    guard moments.isFinite else { return nil }
    return try FeedbackQuantizer(type: type, moments: moments, damping: damping, library)
  }
}
