import BlockFormats
import COpenBLAS
import KernelInterface
import Kernels
import LinearAlgebra
import Machine

/// Quantizes rows of a linear layer's weight for the inputs that it gets: each column is rounded as
/// the errors of the others ask for, so that the sum of e H eᵀ over rows becomes small, where e are
/// the errors of a row and H the second moments of the inputs.
///
/// This is the method of GPTQ (Frantar et al. 2023, arXiv 2210.17323) on the grids of ggml's
/// formats. Super-blocks and the groups in them are rounded in falling order of their inputs'
/// squares; scales are searched for the values that are wanted when their turn comes, with weights
/// that count what later columns cannot make up for. Two sweeps of coordinate descent over the
/// codes follow: where few directions have nearly all of the inputs' energy, as in modulations,
/// they leave a third of the error. At `best` there are more sweeps, over the scales too. Blocks
/// stay where they are in the file.
///
/// Bytes do not depend on which rows are quantized together.
package struct FeedbackQuantizer: Sendable {
  /// What rows become.
  package let type: ElementType
  private let moments: FeedbackMoments
  private let targets: RoundingTargets?
  private let quality: QuantizationQuality
  /// The place of each group in its super-block, or of each block in its row, in the order of
  /// rounding.
  private let groups: [Int32]
  private let groupWidth: Int
  private let kernels: KernelSet

  private var library: OpenBLAS { moments.library }
  private var factored: FactoredMoments { moments.factored }
  private var factor: UpperPanels { moments.factored.factor }
  /// What was added to the diagonal of the moments, relative to its mean.
  package var damping: Double { moments.damping }
  /// Columns of a row.
  package var columns: Int { moments.columns }

  /// Rows that are quantized together.
  package static let tileRows = 64
  /// Sweeps over all codes after rounding. Without changed scales a third one does next to nothing.
  private var sweeps: Int { quality == .best ? 4 : 2 }

  /// What tiles lost.
  package struct Loss: Sendable {
    /// Σ e H eᵀ, damping included.
    package var error = 0.0
    /// Σ w H wᵀ, damping included; 0 unless it was asked for.
    package var energy = 0.0

    /// Nothing yet.
    package init() {}
  }

  /// Prepares quantization; nil where a type has no blocks, or rows do not consist of whole ones.
  ///
  /// - Parameters:
  ///   - type: what rows become.
  ///   - moments: of what enters the layer, in an order that suits the type.
  ///   - targets: what rows become before; nil where they stay.
  ///   - quality: whether scales descend too.
  ///   - kernels: of a CPU that this one is.
  package init?(
    type: ElementType, _ moments: FeedbackMoments, _ targets: RoundingTargets? = nil,
    quality: QuantizationQuality = .fast, kernels: KernelSet = KernelSelection.current
  ) {
    guard type.isConversionTarget, let width = type.codeLayout?.groupWidth,
      moments.columns % type.elementsPerBlock == 0
    else { return nil }
    self.type = type
    self.kernels = kernels
    self.moments = moments
    self.targets = targets
    self.quality = quality
    groupWidth = width
    let block = type.elementsPerBlock
    groups = stride(from: 0, to: moments.columns, by: width).map {
      let column = Int(moments.factored.order[$0])
      return Int32(block == width ? column / block : column % block / width)
    }
  }

  /// Floats of scratch memory for a tile.
  package var scratchFloats: Int { Scratch.floats(columns) }

  /// Where a tile's memory lies.
  private struct Scratch {
    /// `[columns, tileRows]`: values, errors, residuals e R, in the order of rounding.
    let values, errors, residuals: UnsafeMutablePointer<Float>
    /// `[256, tileRows]`: what pulls at a panel's values.
    let pull: UnsafeMutablePointer<Float>
    /// `[panels, tileRows / 8]` records.
    let records: UnsafeMutablePointer<Float>
    /// `[panels, tileRows / 8, 256, 8]` codes.
    let codes: UnsafeMutablePointer<UInt8>
    let work: UnsafeMutableRawPointer

    private static func panels(_ columns: Int) -> Int {
      (columns + PanelToRound.maximumColumns - 1) / PanelToRound.maximumColumns
    }

    static func floats(_ columns: Int) -> Int {
      let (tile, side) = (FeedbackQuantizer.tileRows, PanelToRound.maximumColumns)
      let pieces = panels(columns) * tile / PanelToRound.lanes
      return tile * (3 * columns + side) + pieces * (PanelToRound.recordFloats + 2 * side)
        + PanelToRound.scratchBytes / 4 + 16
    }

    init(_ memory: UnsafeMutablePointer<Float>, columns: Int) {
      let (tile, side) = (FeedbackQuantizer.tileRows, PanelToRound.maximumColumns)
      let pieces = Self.panels(columns) * tile / PanelToRound.lanes
      values = memory
      errors = values + columns * tile
      residuals = errors + columns * tile
      pull = residuals + columns * tile
      records = pull + side * tile
      let rest = UnsafeMutableRawPointer(records + pieces * PanelToRound.recordFloats)
      codes = rest.bindMemory(to: UInt8.self, capacity: 8 * side * pieces)
      work = UnsafeMutableRawPointer(codes + 8 * side * pieces).alignedUp(toMultipleOf: 32)
    }
  }

  /// Quantizes the rows of a tile.
  ///
  /// - Parameters:
  ///   - values: `[rows, columns]`, at most `tileRows`.
  ///   - first: the layer's row that comes first.
  ///   - rows: how many.
  ///   - scratch: `scratchFloats` floats.
  ///   - blocks: receives the rows' blocks, one after the other.
  ///   - measuresEnergy: whether to add up what the rows' products are.
  /// - Returns: what the rows lost.
  package func quantize(
    _ values: UnsafePointer<Float>, first: Int = 0, rows: Int,
    scratch: UnsafeMutablePointer<Float>, into blocks: UnsafeMutableRawPointer,
    measuresEnergy: Bool = false
  ) -> Loss {
    precondition(rows <= Self.tileRows, "more rows than a tile has")
    library.useOneThread()
    let memory = Scratch(scratch, columns: columns)
    load(values, rows: rows, into: memory.values)
    moveToTarget(values, first: first, rows: rows, memory)
    var loss = Loss()
    if measuresEnergy {
      multiplyByFactor(memory.values, into: memory.residuals)
      loss.energy = squares(memory.residuals, rows: rows)
    }
    for panel in panels.indices {
      gatherErrors(before: panel, memory)
      forEachPanel(panel, rows: rows, memory, blocks) { kernels.panels.round($0) }
    }
    for _ in 0..<sweeps {
      for panel in panels.indices { descend(panel, rows: rows, memory, blocks) }
    }
    for panel in panels.indices {
      forEachPanel(panel, rows: rows, memory, blocks) { kernels.panels.pack($0) }
    }
    loss.error = squares(memory.residuals, rows: rows)
    return loss
  }

  private var panels: [Range<Int>] { factor.panels }

  /// The rows' values as columns, in the order of rounding. Rows that are not there are zeros.
  private func load(
    _ values: UnsafePointer<Float>, rows: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let (n, tile) = (columns, Self.tileRows)
    if rows < tile { target.update(repeating: 0, count: n * tile) }
    for (place, column) in factored.order.enumerated() {
      let source = values + Int(column)
      for row in 0..<rows { target[place * tile + row] = source[row * n] }
    }
  }

  /// Adds W D H⁻¹ to the rows' columns.
  private func moveToTarget(
    _ values: UnsafePointer<Float>, first: Int, rows: Int, _ memory: Scratch
  ) {
    guard let targets else { return }
    let (shift, tile) = (memory.errors, Self.tileRows)
    targets.multiply(values, first: first, count: rows, into: shift, width: tile)
    factored.solve(shift, count: tile)
    for index in 0..<columns * tile { memory.values[index] += shift[index] }
  }

  /// Σ e_j R_jk of the columns before a panel.
  private func gatherErrors(before panel: Int, _ memory: Scratch) {
    let (range, tile) = (panels[panel], blasint(Self.tileRows))
    guard panel > 0 else {
      return memory.pull.update(repeating: 0, count: range.count * Self.tileRows)
    }
    library.multiply(
      CblasRowMajor, CblasTrans, CblasNoTrans, blasint(range.count), tile,
      blasint(range.lowerBound), 1, factor.panel(panel), blasint(range.count), memory.errors, tile,
      0, memory.pull, tile)
  }

  /// Lets a panel's codes descend, and takes what they changed out of the residuals.
  private func descend(
    _ panel: Int, rows: Int, _ memory: Scratch, _ blocks: UnsafeMutableRawPointer
  ) {
    let (tile, columns) = (blasint(Self.tileRows), blasint(panels[panel].count))
    func forEachBlock(_ body: (_ block: Int, _ width: blasint, _ residuals: Int) -> Void) {
      for later in panel..<panels.count {
        body(later, blasint(panels[later].count), panels[later].lowerBound * Self.tileRows)
      }
    }
    forEachBlock { later, width, place in
      library.multiply(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, columns, tile, width, 1,
        factor.block(panel, later), width, memory.residuals + place, tile, later == panel ? 0 : 1,
        memory.pull, tile)
    }
    forEachPanel(panel, rows: rows, memory, blocks) { arguments in
      arguments.pointee.matrix = moments.moments(ofPanel: panel)
      arguments.pointee.matrixStride = UpperPanels.width
      arguments.pointee.descendsScales = quality == .best
      kernels.panels.descend(arguments)
    }
    let errors = memory.errors + panels[panel].lowerBound * Self.tileRows
    forEachBlock { later, width, place in
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, width, tile, columns, -1,
        factor.block(panel, later), width, errors, tile, 1, memory.residuals + place, tile)
    }
  }

  /// Calls a kernel for eight rows of a panel after the other.
  private func forEachPanel(
    _ panel: Int, rows: Int, _ memory: Scratch, _ blocks: UnsafeMutableRawPointer,
    _ body: (UnsafeMutablePointer<PanelToRound>) -> Void
  ) {
    let (width, tile, first) = (panels[panel].count, Self.tileRows, panels[panel].lowerBound)
    let rowBytes = columns / type.elementsPerBlock * type.bytesPerBlock
    // A super-block has a place in its row; blocks of 32 have their own.
    let isSuper = type.elementsPerBlock > 32
    let block = isSuper ? Int(factored.order[first]) / type.elementsPerBlock : 0
    withArrays { groups, importance, inverseDiagonal in
      for row in stride(from: 0, to: rows, by: PanelToRound.lanes) {
        let piece = panel * (tile / PanelToRound.lanes) + row / PanelToRound.lanes
        var arguments = PanelToRound(
          type: type, rows: min(PanelToRound.lanes, rows - row), columns: width,
          values: memory.values + first * tile + row, pull: memory.pull + row,
          errors: memory.errors + first * tile + row,
          residuals: memory.residuals + first * tile + row, stride: tile,
          matrix: factor.block(panel, panel), matrixStride: width,
          inverseDiagonal: inverseDiagonal + first, importance: importance + first,
          groups: groups + first / groupWidth,
          codes: memory.codes + piece * 8 * PanelToRound.maximumColumns,
          record: memory.records + piece * PanelToRound.recordFloats,
          blocks: blocks + row * rowBytes + block * type.bytesPerBlock, rowBytes: rowBytes,
          scratch: memory.work)
        body(&arguments)
      }
    }
  }

  private func withArrays(
    _ body: (UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Float>) -> Void
  ) {
    groups.withUnsafeBufferPointer { groups in
      factored.importance.withUnsafeBufferPointer { importance in
        factored.inverseDiagonal.withUnsafeBufferPointer { inverse in
          if let groups = groups.baseAddress, let importance = importance.baseAddress,
            let inverse = inverse.baseAddress
          {
            body(groups, importance, inverse)
          }
        }
      }
    }
  }

  // MARK: Losses

  /// x R of all rows.
  private func multiplyByFactor(
    _ x: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>
  ) {
    let tile = blasint(Self.tileRows)
    for (panel, range) in panels.enumerated() {
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, blasint(range.count), tile,
        blasint(range.upperBound), 1, factor.panel(panel), blasint(range.count), x, tile, 0,
        target + range.lowerBound * Self.tileRows, tile)
    }
  }

  /// The sum of squares of some rows.
  private func squares(_ x: UnsafePointer<Float>, rows: Int) -> Double {
    var sum = 0.0
    for column in 0..<columns {
      let values = x + column * Self.tileRows
      for row in 0..<rows { sum += Double(values[row]) * Double(values[row]) }
    }
    return sum
  }
}
