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
/// formats. Blocks, and in super-blocks their groups, are rounded in falling order of their inputs'
/// squares; scales are searched for the values that are wanted when their turn comes, with weights
/// that count what later columns cannot make up for. Two sweeps of coordinate descent over the
/// codes follow: where few directions have nearly all of the inputs' energy, as in modulations,
/// they leave a third of the error. Blocks stay where they are in the file.
///
/// Bytes do not depend on which rows are quantized together.
package struct FeedbackQuantizer: Sendable {
  /// What rows become.
  package private(set) var type: ElementType
  /// The moments in the order of rounding.
  package let moments: FactoredMoments
  /// H of the columns of each panel, `[panels, 256, 256]`.
  private let panelMoments: FloatBuffer
  /// The place of each group in its super-block, or of each block in its row, in that order.
  private let groups: [Int32]
  private let groupWidth: Int
  private let kernels: KernelSet
  private let library: OpenBLAS

  /// Rows that are quantized together.
  package static let tileRows = 64
  /// Sweeps over all codes after rounding. A third one changes next to nothing.
  private static let sweeps = 2

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
  ///   - moments: of the inputs; finite.
  ///   - damping: what to add to their diagonal, relative to its mean.
  ///   - library: what to compute with.
  ///   - kernels: of a CPU that this one is.
  /// - Throws: `ComputeError.outOfMemory`.
  package init?(
    type: ElementType, moments: SecondMoments, damping: Double, _ library: OpenBLAS,
    kernels: KernelSet = KernelSelection.current
  ) throws(ComputeError) {
    guard type.isConversionTarget, let width = type.codeLayout?.groupWidth,
      moments.columns % type.elementsPerBlock == 0
    else { return nil }
    self.type = type
    self.library = library
    self.kernels = kernels
    let order = RoundingOrder(moments.diagonal, block: type.elementsPerBlock, group: width)
    groupWidth = width
    groups = order.groups
    self.moments = try FactoredMoments(
      moments, order: order.columns, damping: damping, library)
    panelMoments = try Self.panelMoments(self.moments, library)
  }

  /// H of each panel's columns: R Rᵀ of its rows, of which nothing stands before its columns.
  private static func panelMoments(
    _ moments: FactoredMoments, _ library: OpenBLAS
  ) throws(ComputeError) -> FloatBuffer {
    let (n, side) = (moments.columns, PanelToRound.maximumColumns)
    let result = try FloatBuffer(count: (n + side - 1) / side * side * side)
    for first in stride(from: 0, to: n, by: side) {
      let columns = blasint(min(side, n - first))
      let rows = moments.factor + first * (n + 1)
      library.multiply(
        CblasRowMajor, CblasNoTrans, CblasTrans, columns, columns, blasint(n - first), 1, rows,
        blasint(n), rows, blasint(n), 0, result.pointer + first * side, blasint(side))
    }
    return result
  }

  /// The same for another type whose columns are rounded in the same order; nil for others.
  package func sharing(_ type: ElementType) -> FeedbackQuantizer? {
    guard type.isConversionTarget, type.elementsPerBlock == self.type.elementsPerBlock,
      type.codeLayout?.groupWidth == groupWidth
    else { return nil }
    var other = self
    other.type = type
    return other
  }

  /// Floats of scratch memory for a tile.
  package var scratchFloats: Int { Scratch.floats(moments.columns) }

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
  ///   - rows: how many.
  ///   - scratch: `scratchFloats` floats.
  ///   - blocks: receives the rows' blocks, one after the other.
  ///   - measuresEnergy: whether to add up what the rows' products are.
  /// - Returns: what the rows lost.
  package func quantize(
    _ values: UnsafePointer<Float>, rows: Int, scratch: UnsafeMutablePointer<Float>,
    into blocks: UnsafeMutableRawPointer, measuresEnergy: Bool = false
  ) -> Loss {
    precondition(rows <= Self.tileRows, "more rows than a tile has")
    library.useOneThread()
    let memory = Scratch(scratch, columns: moments.columns)
    load(values, rows: rows, into: memory.values)
    var loss = Loss()
    if measuresEnergy {
      multiplyByFactor(memory.values, into: memory.residuals)
      loss.energy = squares(memory.residuals, rows: rows)
    }
    for panel in panels {
      gatherErrors(before: panel.lowerBound, panel.count, memory)
      forEachPanel(panel, rows: rows, memory, blocks) { kernels.panels.round($0) }
    }
    for _ in 0..<Self.sweeps {
      for panel in panels { descend(panel, rows: rows, memory, blocks) }
    }
    for panel in panels {
      forEachPanel(panel, rows: rows, memory, blocks) { kernels.panels.pack($0) }
    }
    loss.error = squares(memory.residuals, rows: rows)
    return loss
  }

  /// The columns of each panel.
  private var panels: [Range<Int>] {
    stride(from: 0, to: moments.columns, by: PanelToRound.maximumColumns).map {
      $0..<min(moments.columns, $0 + PanelToRound.maximumColumns)
    }
  }

  /// The rows' values as columns, in the order of rounding. Rows that are not there are zeros.
  private func load(
    _ values: UnsafePointer<Float>, rows: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let (n, tile) = (moments.columns, Self.tileRows)
    if rows < tile { target.update(repeating: 0, count: n * tile) }
    for (place, column) in moments.order.enumerated() {
      let source = values + Int(column)
      for row in 0..<rows { target[place * tile + row] = source[row * n] }
    }
  }

  /// Σ e_j R_jk of the columns before a panel.
  private func gatherErrors(before first: Int, _ columns: Int, _ memory: Scratch) {
    let (n, tile) = (blasint(moments.columns), blasint(Self.tileRows))
    guard first > 0 else {
      memory.pull.update(repeating: 0, count: columns * Self.tileRows)
      return
    }
    library.multiply(
      CblasRowMajor, CblasTrans, CblasNoTrans, blasint(columns), tile, blasint(first), 1,
      moments.factor + first, n, memory.errors, tile, 0, memory.pull, tile)
  }

  /// Lets a panel's codes descend, and takes what they changed out of the residuals.
  private func descend(
    _ panel: Range<Int>, rows: Int, _ memory: Scratch, _ blocks: UnsafeMutableRawPointer
  ) {
    let (n, tile, first) = (moments.columns, Self.tileRows, panel.lowerBound)
    let (columns, rest) = (blasint(panel.count), blasint(n - first))
    let factor = moments.factor + first * (n + 1)
    let residuals = memory.residuals + first * tile
    library.multiply(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, columns, blasint(tile), rest, 1, factor,
      blasint(n), residuals, blasint(tile), 0, memory.pull, blasint(tile))
    let moments = panelMoments.pointer + first * PanelToRound.maximumColumns
    forEachPanel(panel, rows: rows, memory, blocks) { arguments in
      arguments.pointee.matrix = UnsafePointer(moments)
      arguments.pointee.matrixStride = PanelToRound.maximumColumns
      kernels.panels.descend(arguments)
    }
    library.multiply(
      CblasRowMajor, CblasTrans, CblasNoTrans, rest, blasint(tile), columns, -1, factor,
      blasint(n), memory.errors + first * tile, blasint(tile), 1, residuals, blasint(tile))
  }

  /// Calls a kernel for eight rows of a panel after the other.
  private func forEachPanel(
    _ columns: Range<Int>, rows: Int, _ memory: Scratch, _ blocks: UnsafeMutableRawPointer,
    _ body: (UnsafeMutablePointer<PanelToRound>) -> Void
  ) {
    let (n, tile, first) = (moments.columns, Self.tileRows, columns.lowerBound)
    let rowBytes = n / type.elementsPerBlock * type.bytesPerBlock
    // A super-block has a place in its row; blocks of 32 have their own.
    let isSuper = type.elementsPerBlock > 32
    let block = isSuper ? Int(moments.order[first]) / type.elementsPerBlock : 0
    withArrays { groups, importance, inverseDiagonal in
      for row in stride(from: 0, to: rows, by: PanelToRound.lanes) {
        let piece =
          first / PanelToRound.maximumColumns * (tile / PanelToRound.lanes)
          + row / PanelToRound.lanes
        var panel = PanelToRound(
          type: type, rows: min(PanelToRound.lanes, rows - row), columns: columns.count,
          values: memory.values + first * tile + row, pull: memory.pull + row,
          errors: memory.errors + first * tile + row,
          residuals: memory.residuals + first * tile + row, stride: tile,
          matrix: moments.factor + first * (n + 1), matrixStride: n,
          inverseDiagonal: inverseDiagonal + first, importance: importance + first,
          groups: groups + first / groupWidth,
          codes: memory.codes + piece * 8 * PanelToRound.maximumColumns,
          record: memory.records + piece * PanelToRound.recordFloats,
          blocks: blocks + row * rowBytes + block * type.bytesPerBlock, rowBytes: rowBytes,
          scratch: memory.work)
        body(&panel)
      }
    }
  }

  private func withArrays(
    _ body: (UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Float>) -> Void
  ) {
    groups.withUnsafeBufferPointer { groups in
      moments.importance.withUnsafeBufferPointer { importance in
        moments.inverseDiagonal.withUnsafeBufferPointer { inverse in
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
    let (n, tile) = (moments.columns, blasint(Self.tileRows))
    for panel in panels {
      library.multiply(
        CblasRowMajor, CblasTrans, CblasNoTrans, blasint(panel.count), tile,
        blasint(panel.upperBound), 1, moments.factor + panel.lowerBound, blasint(n), x, tile, 0,
        target + panel.lowerBound * Self.tileRows, tile)
    }
  }

  /// The sum of squares of some rows.
  private func squares(_ x: UnsafePointer<Float>, rows: Int) -> Double {
    var sum = 0.0
    for column in 0..<moments.columns {
      let values = x + column * Self.tileRows
      for row in 0..<rows { sum += Double(values[row]) * Double(values[row]) }
    }
    return sum
  }
}

/// The order in which columns are rounded: blocks by the squares of their inputs, and the groups of
/// a super-block likewise.
private struct RoundingOrder {
  var columns: [Int32] = []
  /// The place of each group in its super-block, or of each block in its row.
  var groups: [Int32] = []

  init(_ diagonal: [Float], block: Int, group: Int) {
    func sum(_ range: Range<Int>) -> Double { range.reduce(0) { $0 + Double(diagonal[$1]) } }
    func falling(_ count: Int, _ sum: (Int) -> Double) -> [Int] {
      let sums = (0..<count).map(sum)
      return (0..<count).sorted { (sums[$0], $1) > (sums[$1], $0) }
    }
    for first in falling(diagonal.count / block, { sum($0 * block..<($0 + 1) * block) })
      .map({ $0 * block })
    {
      let inner = falling(block / group) { sum(first + $0 * group..<first + ($0 + 1) * group) }
      for place in inner {
        let start = first + place * group
        columns += (start..<start + group).map { Int32($0) }
        groups.append(Int32(block == group ? first / block : place))
      }
    }
  }
}
