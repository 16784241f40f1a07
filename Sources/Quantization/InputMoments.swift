import LinearAlgebra
import Machine

/// Adds up the second moments of what enters some linear layers, in the order of rounding.
///
/// Sums depend on neither the number of threads nor what else runs, but on how rows are divided.
package final class InputMoments {
  package let columns: Int
  /// The columns in that order.
  private let order: [Int32]
  private let kind: RoundingOrder
  private let sums: SecondMoments
  private let targets: RoundingTargets?
  private let library: OpenBLAS
  private let pool: ThreadPool

  /// Rows that are put in order at once.
  private static let rowsAtOnce = 256

  /// - Parameters:
  ///   - columns: of the layers.
  ///   - order: in which they are rounded.
  ///   - sample: `[rows, columns]`: rows that tell which columns are large; some are enough.
  ///   - targets: takes differences from other inputs, if weights are moved for them.
  ///   - library: what to compute with.
  ///   - pool: threads to work on.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(
    columns: Int, order: RoundingOrder = .any, like sample: [Float],
    targets: RoundingTargets? = nil, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) {
    self.columns = columns
    self.targets = targets
    self.library = library
    self.pool = pool
    var squares = [Double](repeating: 0, count: columns)
    for row in 0..<sample.count / max(1, columns) {
      for column in 0..<columns {
        let value = Double(sample[row * columns + column])
        squares[column] += value.isFinite ? value * value : 0
      }
    }
    kind = order
    self.order = order.columns(squares)
    sums = try SecondMoments(order: self.order, library, on: pool)
  }

  /// Adds rows.
  ///
  /// - Parameters:
  ///   - rows: `[rows, columns]`, times the roots of their weights.
  ///   - differences: what `targets` takes of each row; nil where there are none.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func add(_ rows: [Float], differences: [Float]? = nil) throws(ComputeError) {
    let count = rows.count / max(1, columns)
    let width = (differences?.count ?? 0) / max(1, count)
    let buffer = try FloatBuffer(count: max(1, min(count, Self.rowsAtOnce) * columns))
    for first in stride(from: 0, to: count, by: Self.rowsAtOnce) {
      let part = first..<min(count, first + Self.rowsAtOnce)
      try order(rows, part, into: buffer.pointer)
      try sums.add(buffer.pointer, count: part.count)
      guard let targets, let differences else { continue }
      let result: Result<Void, ComputeError> = differences.withUnsafeBufferPointer { differences in
        Result { () throws(ComputeError) in
          guard let base = differences.baseAddress else { return }
          try targets.add(base + first * width, buffer.pointer, count: part.count)
        }
      }
      try result.get()
    }
  }

  /// Copies rows with their columns in the order of rounding.
  private func order(
    _ rows: [Float], _ part: Range<Int>, into target: UnsafeMutablePointer<Float>
  ) throws(ComputeError) {
    let result: Result<Void, ComputeError> = rows.withUnsafeBufferPointer { rows in
      Result { () throws(ComputeError) in
        guard let base = rows.baseAddress else { return }
        try pool.run(ranges: part.count, grain: 16) { range in
          for row in range {
            let source = base + (part.lowerBound + row) * columns
            for place in 0..<columns {
              target[row * columns + place] = source[Int(order[place])]
            }
          }
        }
      }
    }
    try result.get()
  }

  /// Prepares rounding for what was added up. Nothing can be added any more.
  ///
  /// - Parameter damping: what is added to the diagonal, relative to its mean.
  /// - Returns: nil if it is not finite.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func inputs(damping: Double) throws(ComputeError) -> LinearInputs? {
    guard let moments = try moments(damping: damping), targets?.isFinite ?? true else { return nil }
    return LinearInputs(moments, kind, targets: targets)
  }

  /// The same without targets.
  func moments(damping: Double) throws(ComputeError) -> FeedbackMoments? {
    guard sums.isFinite else { return nil }
    return try FeedbackMoments(replacing: sums, damping: damping, library, on: pool)
  }
}
