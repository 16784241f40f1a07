import COpenBLAS
import LinearAlgebra
import Machine

/// What weights W become before they are rounded, so that their products with inputs x~ that come
/// from rounded matrices are nearest to those with the exact inputs x: W + W D H⁻¹ with
/// D = Σ (x − x~)ᵀ x~ and H = Σ x~ᵀ x~.
///
/// - SeeAlso: GPTAQ (Li et al. 2025, arXiv 2504.02692).
package final class RoundingTargets: Sendable {
  private enum Form: Sendable {
    /// D, `[columns, columns]`: rows in the layer's order, columns in that of rounding.
    case moments
    /// W D, `[rows, columns]`, columns in the order of rounding, of one layer.
    case products
  }

  package let columns: Int
  private let form: Form
  private let sums: FloatBuffer
  /// Rows of `sums`.
  private let rows: Int
  private let library: OpenBLAS
  private let pool: ThreadPool

  /// Columns that a task adds to.
  private static let grain = 256

  private init(
    _ form: Form, rows: Int, columns: Int, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) {
    self.form = form
    self.rows = rows
    self.columns = columns
    self.library = library
    self.pool = pool
    sums = try FloatBuffer(count: rows * columns)
    sums.pointer.initialize(repeating: 0, count: rows * columns)
  }

  /// For any layers of the same inputs: D is added up.
  package static func moments(
    columns: Int, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) -> RoundingTargets {
    try RoundingTargets(.moments, rows: columns, columns: columns, library, on: pool)
  }

  /// For one layer, which takes less memory where it has fewer rows than columns: W D is added up.
  package static func products(
    rows: Int, columns: Int, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) -> RoundingTargets {
    try RoundingTargets(.products, rows: rows, columns: columns, library, on: pool)
  }

  /// Whether products of weights are added up, not inputs.
  package var takesProducts: Bool { form == .products }

  /// Adds rows, each times the root of its weight.
  ///
  /// - Parameters:
  ///   - differences: `[count, …]`: x − x~, or its products with the weights.
  ///   - inputs: `[count, columns]`: x~ with columns in the order of rounding.
  ///   - count: how many rows.
  /// - Throws: `ComputeError` if the pool is cancelled.
  package func add(
    _ differences: UnsafePointer<Float>, _ inputs: UnsafePointer<Float>, count: Int
  ) throws(ComputeError) {
    let n = blasint(columns)
    try pool.run(ranges: columns, grain: Self.grain) { range in
      library.useOneThread()
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, blasint(rows), blasint(range.count),
        blasint(count), 1, differences, blasint(rows), inputs + range.lowerBound, n, 1,
        sums.pointer + range.lowerBound, n)
    }
  }

  /// Whether no sum is NaN or infinite.
  package var isFinite: Bool { (0..<rows * columns).allSatisfy { sums.pointer[$0].isFinite } }

  /// W D of some rows as columns.
  ///
  /// - Parameters:
  ///   - values: `[count, columns]`: rows of W.
  ///   - first: the layer's row that comes first.
  ///   - count: how many.
  ///   - target: receives `[columns, width]`, columns in the order of rounding.
  ///   - width: at least `count`; what is beyond becomes zero.
  func multiply(
    _ values: UnsafePointer<Float>, first: Int, count: Int,
    into target: UnsafeMutablePointer<Float>, width: Int
  ) {
    if count < width { target.update(repeating: 0, count: columns * width) }
    switch form {
    case .moments:
      let n = blasint(columns)
      library.multiply(
        CblasRowMajor, CblasTrans, CblasTrans, n, blasint(count), n, 1, sums.pointer, n, values, n,
        0, target, blasint(width))
    case .products:
      for row in 0..<count {
        let source = sums.pointer + (first + row) * columns
        for column in 0..<columns { target[column * width + row] = source[column] }
      }
    }
  }
}
