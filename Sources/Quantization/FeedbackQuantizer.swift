import BlockFormats
import COpenBLAS
import KernelInterface
import Kernels
import LinearAlgebra
import Machine

/// Quantizes rows of a linear layer's weight for the inputs that it gets: each column is rounded as
/// the errors of those before it ask for, so that the sum of e H eᵀ over rows becomes small, where e
/// are the errors of a row and H the second moments of the inputs.
///
/// This is the method of GPTQ (Frantar et al. 2023, arXiv 2210.17323) on the grids of ggml's
/// formats. Blocks, and in super-blocks their groups, are rounded in falling order of their inputs'
/// squares; scales are searched for the values that are wanted when their turn comes, with weights
/// that count what later columns cannot make up for. Blocks stay where they are in the file.
///
/// Bytes do not depend on which rows are quantized together as long as tiles are the same.
package struct FeedbackQuantizer: Sendable {
  /// What rows become.
  package let type: ElementType
  /// The moments in the order of rounding.
  package let moments: FactoredMoments
  /// The place of each group in its super-block, or of each block in its row, in that order.
  private let groups: [Int32]
  private let groupWidth: Int
  private let kernels: KernelSet
  private let library: OpenBLAS

  /// Rows that are quantized together.
  package static let tileRows = 64

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
  }

  /// Floats of scratch memory for a tile: values, errors and what they add to a panel.
  package var scratchFloats: Int {
    Self.tileRows * (2 * moments.columns + PanelToRound.maximumColumns)
      + PanelToRound.scratchBytes / 4 + 16
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
    let (n, tile) = (moments.columns, Self.tileRows)
    let wanted = scratch
    let errors = wanted + n * tile
    let carried = errors + n * tile
    let rest = UnsafeMutableRawPointer(carried + PanelToRound.maximumColumns * tile)
    let work = rest.alignedUp(toMultipleOf: 32)
    load(values, rows: rows, into: wanted)
    var loss = Loss()
    if measuresEnergy { loss.energy = form(wanted, rows: rows, carried) }
    var first = 0
    while first < n {
      let columns = min(PanelToRound.maximumColumns, n - first)
      carry(errors, into: carried, first: first, columns: columns)
      round(
        first..<first + columns, rows: rows, wanted, carried, errors, work, into: blocks)
      first += columns
    }
    loss.error = form(errors, rows: rows, carried)
    return loss
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

  /// What the errors of finished columns add to those of a panel: their product with M.
  private func carry(
    _ errors: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>, first: Int,
    columns: Int
  ) {
    let (n, tile) = (moments.columns, Self.tileRows)
    guard first > 0 else {
      target.update(repeating: 0, count: columns * tile)
      return
    }
    library.multiply(
      CblasRowMajor, CblasTrans, CblasNoTrans, blasint(columns), blasint(tile), blasint(first), 1,
      moments.coupling + first, blasint(n), errors, blasint(tile), 0, target, blasint(tile))
  }

  private func round(
    _ columns: Range<Int>, rows: Int, _ values: UnsafePointer<Float>,
    _ carried: UnsafePointer<Float>, _ errors: UnsafeMutablePointer<Float>,
    _ work: UnsafeMutableRawPointer, into blocks: UnsafeMutableRawPointer
  ) {
    let (n, tile) = (moments.columns, Self.tileRows)
    let rowBytes = n / type.elementsPerBlock * type.bytesPerBlock
    // A super-block has a place in its row; blocks of 32 have their own.
    let superBlock = type.elementsPerBlock > 32
    let block = superBlock ? Int(moments.order[columns.lowerBound]) / type.elementsPerBlock : 0
    groups.withUnsafeBufferPointer { groups in
      moments.importance.withUnsafeBufferPointer { importance in
        guard let groups = groups.baseAddress, let importance = importance.baseAddress else {
          return
        }
        for row in stride(from: 0, to: rows, by: PanelToRound.lanes) {
          var panel = PanelToRound(
            type: type, rows: min(PanelToRound.lanes, rows - row), columns: columns.count,
            values: values + columns.lowerBound * tile + row, carried: carried + row,
            errors: errors + columns.lowerBound * tile + row, stride: tile,
            coupling: moments.coupling + columns.lowerBound * (n + 1), couplingStride: n,
            importance: importance + columns.lowerBound,
            groups: groups + columns.lowerBound / groupWidth,
            blocks: blocks + row * rowBytes + block * type.bytesPerBlock, rowBytes: rowBytes,
            scratch: work)
          kernels.roundPanel(&panel)
        }
      }
    }
  }

  /// The sum over rows of x H xᵀ = Σ_k D_k (Σ_{j≤k} x_j M_jk)².
  private func form(
    _ x: UnsafePointer<Float>, rows: Int, _ carried: UnsafeMutablePointer<Float>
  ) -> Double {
    let (n, tile) = (moments.columns, Self.tileRows)
    var sum = 0.0
    var first = 0
    while first < n {
      let columns = min(PanelToRound.maximumColumns, n - first)
      carry(x, into: carried, first: first, columns: columns)
      for column in 0..<columns {
        let target = carried + column * tile
        for before in 0...column {
          let factor =
            before == column
            ? 1 : moments.coupling[(first + before) * n + first + column]
          let source = x + (first + before) * tile
          for row in 0..<rows { target[row] += source[row] * factor }
        }
        var squares = 0.0
        for row in 0..<rows { squares += Double(target[row] * target[row]) }
        sum += squares * Double(moments.importance[first + column])
      }
      first += columns
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
