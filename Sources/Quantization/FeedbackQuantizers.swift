import BlockFormats
import Machine
import Synchronization

/// Quantizers with error feedback for layers of the same inputs: moments are factored once for all
/// types whose columns are rounded in the same order, of which there are three.
package final class FeedbackQuantizers: Sendable {
  private let made = Mutex<[(inputs: LinearInputs, quantizer: FeedbackQuantizer)]>([])

  /// Begins with none.
  package init() {}

  /// The quantizer for a type. What was made for other inputs is released.
  ///
  /// - Parameters:
  ///   - type: what rows become.
  ///   - inputs: what they are rounded for.
  /// - Returns: nil where there is none, and rows are rounded without.
  /// - Throws: `ComputeError.outOfMemory`.
  package func quantizer(
    to type: ElementType, for inputs: LinearInputs
  ) throws(ComputeError) -> FeedbackQuantizer? {
    let known = made.withLock { made in
      made.removeAll { $0.inputs !== inputs }
      return made
    }
    if let shared = known.lazy.compactMap({ $0.quantizer.sharing(type) }).first { return shared }
    guard let quantizer = try inputs.quantizer(to: type) else { return nil }
    made.withLock { $0.append((inputs, quantizer)) }
    return quantizer
  }
}
