import COpenBLAS
import Machine

/// The second moments H = Σ xᵀx of the rows that enter a linear layer, with their columns in a
/// given order: what an error e in a row of its weights costs is e H eᵀ.
///
/// Sums do not depend on the number of threads.
package final class SecondMoments {
  package let columns: Int
  /// The columns in their new order.
  package let order: [Int32]
  let sums: UpperPanels
  private let library: OpenBLAS
  private let pool: ThreadPool

  /// - Parameters:
  ///   - order: the columns in their new order.
  ///   - library: what to compute with.
  ///   - pool: threads to work on.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(
    order: [Int32], _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) {
    columns = order.count
    self.order = order
    self.library = library
    self.pool = pool
    sums = try UpperPanels(columns: columns)
  }

  /// Adds rows.
  ///
  /// - Parameters:
  ///   - rows: `[count, columns]`, columns in their new order.
  ///   - count: how many.
  /// - Throws: `ComputeError` if cancelled.
  package func add(_ rows: UnsafePointer<Float>, count: Int) throws(ComputeError) {
    let n = blasint(columns)
    // The longest panels first.
    try pool.run(sums.panels.count) { [sums, library] index, _ in
      let panel = sums.panels.count - 1 - index
      let range = sums.panels[panel]
      library.useOneThread()
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, blasint(range.upperBound), blasint(range.count),
        blasint(count), 1, rows, n, rows + range.lowerBound, n, 1, sums.panel(panel),
        blasint(range.count))
    }
  }

  /// Σ x² in the new order.
  package var diagonal: [Float] { (0..<columns).map { sums[$0, $0] } }

  /// Whether no sum is NaN or infinite: then no element of the matrix is either.
  package var isFinite: Bool { diagonal.allSatisfy(\.isFinite) }
}
