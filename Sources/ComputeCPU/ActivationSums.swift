import Compute
import Machine
import Synchronization

/// Adds up the squares of what enters products with stored weights, column by column: how much each
/// column of a weight matters.
///
/// A device that it observes measures every product with a named weight. Each row that is
/// multiplied counts once, by whatever parts of the weight. Sums are in float64 and in the order of
/// the rows, so that they do not depend on the number of threads.
package final class ActivationSums: WorkObserver {
  /// Memory of one weight's sums.
  private final class Accumulator {
    let squares: UnsafeMutableBufferPointer<Double>
    var rows = 0

    init(columns: Int) {
      squares = .allocate(capacity: columns)
      squares.initialize(repeating: 0)
    }

    deinit { squares.deallocate() }
  }

  private let accumulators = Mutex<[String: Accumulator]>([:])

  /// Begins with nothing.
  package init() {}

  /// Goes on from sums of before; the result is the same bits as without a break.
  package init(_ entries: [String: ColumnSquares]) {
    accumulators.withLock { accumulators in
      for (name, entry) in entries {
        let accumulator = Accumulator(columns: entry.squares.count)
        _ = accumulator.squares.update(from: entry.squares)
        accumulator.rows = entry.rows
        accumulators[name] = accumulator
      }
    }
  }

  /// Everything so far, by the weights' names.
  package var entries: [String: ColumnSquares] {
    accumulators.withLock {
      $0.mapValues { ColumnSquares(squares: Array($0.squares), rows: $0.rows) }
    }
  }

  /// Columns that one task adds up.
  private static let grain = 256
  /// Rows that are made at once where they are not stored.
  private static let rowsAtOnce = 64

  /// Bytes of memory for rows that are not stored.
  package static func rowBytes(columns: Int) -> Int { 4 * rowsAtOnce * columns }

  package func willMultiply(
    _ input: ProductInput, by weights: [WeightMatrix], on device: CPUDevice
  ) throws(ComputeError) {
    // A row may be multiplied by parts of a weight, here and in other products: it counts with the
    // part that has the weight's first row.
    try add(input, of: weights.filter { $0.firstRow == 0 }.map(\.name), on: device)
  }

  package func did(_ kind: WorkKind, in time: Duration) {}

  /// Adds the rows that enter products.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - names: the weights'; where there is none nothing is added.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func add(_ x: ProductInput, of names: [String], on device: CPUDevice) throws(ComputeError) {
    let names = names.filter { !$0.isEmpty }
    guard !names.isEmpty, x.rows > 0 else { return }
    if x.isStored {
      let rows = try x.stored(on: device)
      for name in names { try add(rows, of: name, on: device) }
      return
    }
    let memory = try Matrix(rows: min(x.rows, Self.rowsAtOnce), columns: x.columns)
    for start in stride(from: 0, to: x.rows, by: memory.rows) {
      let part = x.rows(start..<min(x.rows, start + memory.rows))
      let rows = memory.rows(0..<part.rows)
      try part.store(into: rows, on: device)
      for name in names { try add(rows, of: name, on: device) }
    }
  }

  private func add(_ x: Matrix, of name: String, on device: CPUDevice) throws(ComputeError) {
    let result: Result<Void, ComputeError> = accumulators.withLock { accumulators in
      let known = accumulators[name]
      let accumulator = known ?? Accumulator(columns: x.columns)
      if known == nil { accumulators[name] = accumulator }
      accumulator.rows += x.rows
      // Tasks write to columns of their own.
      nonisolated(unsafe) let squares = accumulator.squares
      return Result { () throws(ComputeError) in
        try device.run(ranges: min(x.columns, squares.count), grain: Self.grain) { columns in
          guard let base = squares.baseAddress else { return }
          let sums = base + columns.lowerBound
          for row in 0..<x.rows {
            let values = x.row(row) + columns.lowerBound
            for column in 0..<columns.count {
              let value = Double(values[column])
              sums[column] += value * value
            }
          }
        }
      }
    }
    try result.get()
  }
}
