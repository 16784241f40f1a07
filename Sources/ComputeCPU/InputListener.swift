import Compute
import Machine

/// Hands over the rows that enter named weights.
package final class InputListener: WorkObserver {
  /// Told of rows, `[count, columns]`, and of the names of the weights that they enter.
  package typealias Listener =
    @Sendable (
      _ names: [String], _ rows: [Float], _ columns: Int
    ) throws(ComputeError) -> Void

  private let listener: Listener

  /// - Parameter listener: told of rows, one call at a time.
  package init(_ listener: @escaping Listener) { self.listener = listener }

  package func willMultiply(
    _ input: ProductInput, by weights: [WeightMatrix], on device: CPUDevice
  ) throws(ComputeError) {
    // A row counts with the part of a weight that has its first row.
    let names = weights.filter { $0.firstRow == 0 && !$0.name.isEmpty }.map(\.name)
    guard !names.isEmpty, input.rows > 0 else { return }
    let rows = try Matrix(rows: input.rows, columns: input.columns)
    try input.store(into: rows, on: device)
    try listener(names, try device.read(rows), input.columns)
  }

  package func did(_ kind: WorkKind, in time: Duration) {}
}
