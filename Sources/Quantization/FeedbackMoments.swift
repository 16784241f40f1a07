import COpenBLAS
import LinearAlgebra
import Machine

/// All that rounding with error feedback needs to know of the inputs of a layer, whatever the type.
package final class FeedbackMoments: Sendable {
  /// The moments in the order of rounding.
  let factored: FactoredMoments
  /// H of the columns of each panel, `[panels, 256, 256]`.
  private let panelMoments: FloatBuffer
  let library: OpenBLAS

  /// Columns of the layer.
  package var columns: Int { factored.columns }
  /// What was added to the diagonal of the moments, relative to its mean.
  package var damping: Double { factored.damping }

  /// Prepares moments.
  ///
  /// - Parameters:
  ///   - moments: finite ones; they are gone afterwards.
  ///   - damping: what to add to their diagonal, relative to its mean.
  ///   - library: what to compute with.
  ///   - pool: threads to work on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package init(
    replacing moments: SecondMoments, damping: Double, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) {
    self.library = library
    factored = try FactoredMoments(replacing: moments, damping: damping, library, on: pool)
    let (factor, side) = (factored.factor, UpperPanels.width)
    let result = try FloatBuffer(count: factor.panels.count * side * side)
    panelMoments = result
    try pool.run(factor.panels.count) { panel, _ in
      library.useOneThread()
      let count = blasint(factor.panels[panel].count)
      for later in panel..<factor.panels.count {
        let inner = blasint(factor.panels[later].count)
        let block = factor.block(panel, later)
        library.multiply(
          CblasRowMajor, CblasNoTrans, CblasTrans, count, count, inner, 1, block, inner, block,
          inner, later == panel ? 0 : 1, result.pointer + panel * side * side, blasint(side))
      }
    }
  }

  /// H of a panel's columns, rows 256 apart.
  func moments(ofPanel panel: Int) -> UnsafePointer<Float> {
    UnsafePointer(panelMoments.pointer + panel * UpperPanels.width * UpperPanels.width)
  }
}
