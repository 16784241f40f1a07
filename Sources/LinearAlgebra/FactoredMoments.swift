import COpenBLAS
import Machine

/// Second moments as R Rᵀ, where R is upper triangular: a Cholesky factorization from the last
/// column on. What an error e costs is the sum of squares of e R.
///
/// It takes the place of the moments in memory.
package final class FactoredMoments: Sendable {
  package let columns: Int
  /// The columns of the layer in the order of the moments.
  package let order: [Int32]
  /// The squares of R's diagonal: what an error costs in a column that all later ones make the best
  /// of.
  package let importance: [Float]
  /// One over R's diagonal.
  package let inverseDiagonal: [Float]
  /// The most that was added to the diagonal of the moments, relative to its mean.
  package let damping: Double
  /// R; what is below the diagonal in its blocks is zero.
  package let factor: UpperPanels
  private let library: OpenBLAS

  /// Factors moments. Where they are too near to singular, more is added to the diagonal.
  ///
  /// - Parameters:
  ///   - moments: finite ones; they are gone afterwards.
  ///   - damping: what to add to the diagonal, relative to its mean.
  ///   - library: what to compute with.
  ///   - pool: threads to work on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package init(
    replacing moments: SecondMoments, damping: Double, _ library: OpenBLAS,
    on pool: ThreadPool
  ) throws(ComputeError) {
    columns = moments.columns
    order = moments.order
    factor = moments.sums
    self.library = library
    let diagonal = moments.diagonal
    let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, columns))
    let factorization = PanelFactorization(
      factor, diagonal: diagonal, scale: mean > 0 ? mean : 1, library: library,
      scratch: try FloatBuffer(count: UpperPanels.width * UpperPanels.width))
    // Inputs that are all zero ask for nothing.
    var used = mean > 0 ? damping : 1
    for panel in factor.panels.indices.reversed() {
      try factorization.subtractLaterPanels(from: panel, on: pool)
      used = max(used, factorization.factorDiagonal(of: panel, damping: mean > 0 ? damping : 1))
      try factorization.solveAbove(panel, on: pool)
    }
    self.damping = used
    let roots = (0..<columns).map { [factor] in factor[$0, $0] }
    importance = roots.map { $0 * $0 }
    inverseDiagonal = roots.map { 1 / $0 }
  }

  /// Replaces columns z by H⁻¹ z.
  ///
  /// - Parameters:
  ///   - z: `[columns, count]`.
  ///   - count: how many columns.
  package func solve(_ z: UnsafeMutablePointer<Float>, count: Int) {
    let (panels, width) = (factor.panels, blasint(count))
    func divide(_ panel: Int, _ transpose: CBLAS_TRANSPOSE) {
      let side = blasint(panels[panel].count)
      library.solveTriangle(
        CblasRowMajor, CblasLeft, CblasUpper, transpose, CblasNonUnit, side, width, 1,
        factor.block(panel, panel), side, z + panels[panel].lowerBound * count, width)
    }
    for (panel, range) in panels.enumerated().reversed() {
      divide(panel, CblasNoTrans)
      library.multiply(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(range.lowerBound), width,
        blasint(range.count), -1, factor.panel(panel), blasint(range.count),
        z + range.lowerBound * count, width, 1, z, width)
    }
    for (panel, range) in panels.enumerated() {
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, blasint(range.count), width,
        blasint(range.lowerBound), -1, factor.panel(panel), blasint(range.count), z, width, 1,
        z + range.lowerBound * count, width)
      divide(panel, CblasTrans)
    }
  }
}

/// The steps of a factorization, panel by panel from the last one.
private struct PanelFactorization {
  let matrix: UpperPanels
  /// Of the moments.
  let diagonal: [Float]
  /// What damping is relative to.
  let scale: Double
  let library: OpenBLAS
  let scratch: FloatBuffer

  init(
    _ matrix: UpperPanels, diagonal: [Float], scale: Double, library: OpenBLAS,
    scratch: FloatBuffer
  ) {
    self.matrix = matrix
    self.diagonal = diagonal
    self.scale = scale
    self.library = library
    self.scratch = scratch
  }

  /// H_IJ − Σ R_IK R_JKᵀ over the panels K after J, for every I down to J.
  func subtractLaterPanels(from panel: Int, on pool: ThreadPool) throws(ComputeError) {
    let (side, panels) = (blasint(matrix.panels[panel].count), matrix.panels)
    try pool.run(panel + 1) { row, _ in
      library.useOneThread()
      for later in panel + 1..<max(panel + 1, panels.count) {
        let inner = blasint(panels[later].count)
        library.multiply(
          CblasRowMajor, CblasNoTrans, CblasTrans, blasint(panels[row].count), side, inner, -1,
          matrix.block(row, later), inner, matrix.block(panel, later), inner, 1,
          matrix.block(row, panel), side)
      }
    }
  }

  /// Replaces the block on the diagonal by its factor.
  ///
  /// - Returns: what was added to its diagonal, relative to `scale`.
  func factorDiagonal(of panel: Int, damping: Double) -> Double {
    library.useOneThread()
    let side = matrix.panels[panel].count
    let block = matrix.block(panel, panel)
    var damping = damping
    while true {
      load(block, side, adding: Float(damping * scale))
      if replaceByFactor(side) { break }
      guard damping < 1e3 else {
        // Inputs whose sums are near the end of float32's range: columns by themselves.
        loadRoots(of: panel)
        break
      }
      damping = max(10 * damping, 1e-6)
    }
    for row in 0..<side {
      for column in 0..<side {
        block[row * side + column] =
          column < row ? 0 : scratch.pointer[(side - 1 - row) * side + side - 1 - column]
      }
    }
    return damping
  }

  /// The upper triangle of a block turned around: the usual factor of that, turned back, is an
  /// upper one.
  private func load(_ block: UnsafePointer<Float>, _ side: Int, adding addition: Float) {
    for row in 0..<side {
      for column in row..<side {
        scratch.pointer[(side - 1 - row) * side + side - 1 - column] = block[row * side + column]
      }
      scratch.pointer[(side - 1 - row) * (side + 1)] += addition
    }
  }

  private func loadRoots(of panel: Int) {
    let range = matrix.panels[panel]
    scratch.pointer.update(repeating: 0, count: range.count * range.count)
    for (place, column) in range.reversed().enumerated() {
      scratch.pointer[place * (range.count + 1)] = max(diagonal[column].squareRoot(), 1e-18)
    }
    for row in 0..<panel {
      let count = matrix.panels[row].count * range.count
      matrix.block(row, panel).update(repeating: 0, count: count)
    }
  }

  /// Replaces the lower triangle of the scratch memory by its Cholesky factor.
  ///
  /// - Returns: whether there is one.
  private func replaceByFactor(_ side: Int) -> Bool {
    var n = blasint(truncatingIfNeeded: side)
    var stride = n
    var fault: blasint = 0
    // Columns of Fortran are our rows: its upper triangle is our lower one.
    "U".withCString { library.factor($0, &n, scratch.pointer, &stride, &fault, 1) }
    return fault == 0
  }

  /// R_IJ of the blocks above the diagonal: what is there times R_JJ⁻ᵀ.
  func solveAbove(_ panel: Int, on pool: ThreadPool) throws(ComputeError) {
    let (side, panels) = (blasint(matrix.panels[panel].count), matrix.panels)
    try pool.run(panel) { row, _ in
      library.useOneThread()
      library.solveTriangle(
        CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit,
        blasint(panels[row].count), side, 1, matrix.block(panel, panel), side,
        matrix.block(row, panel), side)
    }
  }
}
