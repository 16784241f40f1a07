import BlockFormats
import Compute
import KernelInterface
import Machine

/// The product with rows of a weight that lie together.
struct SegmentProduct {
  let segment: WeightMatrix.Segment
  /// How the weight's blocks are unpacked; nil if they are dequantized to float32.
  private let layout: CodeLayout?
  /// How it takes its activations.
  let packing: ActivationPacking
  let columns: Int
  private let rowBytes: Int
  private let scale: WeightScale
  /// Rows of the weight before the segment's.
  private let firstRow: Int
  private let bias: [Float]?
  /// What each output is multiplied by before the bias is added; nil for nothing.
  private let factors: [Float]?
  /// Whether the product is added to what the result holds.
  private let accumulates: Bool
  /// `[rows, segment.rows]`.
  private let result: Matrix
  private let kernels: KernelSet
  private let panelWidth: Int

  /// The parts of a product, one for each segment of its weight.
  static func segments(of product: Product, on device: CPUDevice) -> [SegmentProduct] {
    var first = 0
    return product.weight.segments.map { segment in
      defer { first += segment.rows }
      return SegmentProduct(
        segment, of: product, outputs: first..<first + segment.rows, on: device)
    }
  }

  private init(
    _ segment: WeightMatrix.Segment, of product: Product, outputs: Range<Int>,
    on device: CPUDevice
  ) {
    let weight = product.weight
    self.segment = segment
    columns = weight.columns
    scale = weight.scale
    firstRow = outputs.lowerBound
    kernels = device.kernels
    // Scales of elements can be applied only while dequantizing.
    let kind =
      scale == .one
      ? ProductKind(segment.type, device.activations, kernels, errors: segment.errors) : .float
    rowBytes = segment.type.byteCount(elements: columns) ?? 0
    panelWidth = WeightPanel.width(kind: kind, columns: columns, kernels: kernels)
    layout = kind == .float ? nil : segment.type.codeLayout
    packing = ActivationPacking(
      kind, layout,
      partWidth: WeightPanel.partWidth(kind: kind, columns: columns, kernels: kernels))
    accumulates = product.accumulates
    bias = product.bias.map { Array($0[outputs]) }
    factors = weight.rowFactors.map { Array($0[outputs]) }
    result = product.result.columns(outputs)
  }

  /// How many outputs it has.
  var outputCount: Int { segment.rows }

  /// A second factor of low rank with what it multiplies.
  struct Addition {
    let product: OuterProduct
    /// The factor's rows.
    let bytes: UnsafeRawPointer
    /// Made with the first factor, for the rows at hand.
    let inner: PackedActivations
  }

  /// Multiplies packed activations.
  ///
  /// - Parameters:
  ///   - bytes: the segment's rows.
  ///   - x: packed for this product.
  ///   - rows: of the result.
  ///   - additions: what is added to the result.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func run(
    _ bytes: UnsafeRawPointer, _ x: PackedActivations, rows: Range<Int>,
    adding additions: [Addition], on device: CPUDevice
  ) throws(ComputeError) {
    let outputTiles = (segment.rows + kernels.columnTile - 1) / kernels.columnTile
    let rowTiles = (x.rows + kernels.rowTile - 1) / kernels.rowTile
    // Few outputs and many rows: the rows are shared out too.
    let parts = max(1, min(rowTiles / 8, (4 * device.threadCount + outputTiles - 1) / outputTiles))
    let partTiles = (rowTiles + parts - 1) / parts
    let ragged = kernels.rowTile * kernels.columnTile
    let panelCount = additions.reduce(panelCount) { max($0, $1.product.product.panelCount) }
    let y = result.rows(rows)
    try device.run(outputTiles * parts, scratchCount: panelCount + ragged) { index, scratch in
      let first = index / parts * kernels.columnTile
      let part = index % parts * partTiles
      let tiles = part..<max(part, min(rowTiles, part + partTiles))
      let outputs = first..<min(segment.rows, first + kernels.columnTile)
      let panel = WeightPanel(
        segment.type, kind: packing.kind, width: panelWidth, scratch: scratch + ragged,
        kernels: kernels)
      multiply(
        bytes + first * rowBytes, x, tiles: tiles, outputs: outputs, panel, y,
        ragged: scratch)
      complete(rows, tiles: tiles, outputs: outputs, additions, scratch: scratch)
    }
  }

  private var panelCount: Int {
    WeightPanel.scratchCount(kind: packing.kind, width: panelWidth, kernels: kernels)
  }

  /// Applies factors and adds what is added, while the outputs are in the cache.
  ///
  /// - Parameters:
  ///   - rows: of the result.
  ///   - tiles: of those.
  ///   - outputs: at most a tile of them.
  ///   - additions: all of the segment's.
  ///   - scratch: room for a tile and the additions' panels.
  private func complete(
    _ rows: Range<Int>, tiles: Range<Int>, outputs: Range<Int>, _ additions: [Addition],
    scratch: UnsafeMutablePointer<Float>
  ) {
    let (y, tile) = (result.rows(rows), kernels.rowTile)
    if let factors {
      for row in tiles.lowerBound * tile..<min(rows.count, tiles.upperBound * tile) {
        let target = y.row(row)
        for output in outputs {
          target[output] = target[output] * factors[output] + (bias?[output] ?? 0)
        }
      }
    }
    for addition in additions {
      let (product, range) = (addition.product.product, addition.product.outputs)
      let common = outputs.clamped(to: range)
      guard !common.isEmpty else { continue }
      let own = common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound
      let panel = WeightPanel(
        product.segment.type, kind: product.packing.kind, width: product.panelWidth,
        scratch: scratch + tile * kernels.columnTile, kernels: kernels)
      product.multiply(
        addition.bytes + own.lowerBound * product.rowBytes, addition.inner, tiles: tiles,
        outputs: own, panel, product.result.rows(rows), ragged: scratch)
    }
  }

  /// The same for a few rows that are not packed into tiles.
  ///
  /// - Returns: whether there is such a way for this segment.
  func runRows(
    _ bytes: UnsafeRawPointer, _ x: Matrix, adding additions: [Addition], on device: CPUDevice
  ) throws(ComputeError) -> Bool {
    guard let layout, let multiplyRow = kernels.multiplyRow else { return false }
    let activations = try RowActivations(x, kind: packing.kind, layout: layout, on: device)
    defer { activations.giveBack(to: device) }
    let scratchCount = additions.reduce(RowProduct.scratchCount(columns: columns)) {
      max($0, $1.product.product.panelCount + kernels.rowTile * kernels.columnTile)
    }
    let outputsPerTask = 16
    let tasks = (segment.rows + outputsPerTask - 1) / outputsPerTask
    try device.run(tasks, scratchCount: scratchCount) { index, scratch in
      let first = index * outputsPerTask
      let outputs = first..<min(segment.rows, first + outputsPerTask)
      for row in 0..<x.rows {
        let target = result.row(row) + first
        initialize(target, stride: 0, rows: 1, outputs)
        var product = activations.product(
          row: row, with: bytes + first * rowBytes, of: segment, rowBytes: rowBytes,
          outputs: outputs.count, partWidth: packing.partWidth, kind: packing.kind, into: target,
          scratch: scratch)
        multiplyRow(&product)
      }
      complete(0..<x.rows, tiles: 0..<1, outputs: outputs, additions, scratch: scratch)
    }
    return true
  }

  /// One tile of outputs for some tiles of rows.
  private func multiply(
    _ weights: UnsafeRawPointer, _ x: PackedActivations, tiles: Range<Int>, outputs: Range<Int>,
    _ panel: WeightPanel, _ y: Matrix, ragged: UnsafeMutablePointer<Float>
  ) {
    for start in stride(from: 0, to: max(columns, 1), by: max(panelWidth, 1)) {
      let part = start..<min(columns, start + panelWidth)
      panel.fill(
        weights, rowBytes: rowBytes, count: outputs.count, columns: part, scale: scale,
        firstRow: firstRow + outputs.lowerBound)
      for start in stride(from: part.lowerBound, to: max(part.upperBound, 1), by: packing.partWidth)
      {
        let columns = start..<min(part.upperBound, start + packing.partWidth)
        let arguments = panel.arguments(x, columns: columns, first: part.lowerBound)
        for tile in tiles {
          let firstRow = tile * kernels.rowTile
          let rows = min(kernels.rowTile, x.rows - firstRow)
          let target = y.row(firstRow) + outputs.lowerBound
          if start == 0 { initialize(target, stride: y.stride, rows: rows, outputs) }
          if rows == kernels.rowTile, outputs.count == kernels.columnTile {
            panel.multiply(arguments, tile: tile, rows: rows, into: target, stride: y.stride)
          } else {
            multiplyRagged(panel, arguments, tile, rows, outputs.count, target, y.stride, ragged)
          }
        }
      }
    }
  }

  /// Kernels write whole tiles: a ragged one goes through scratch memory.
  private func multiplyRagged(
    _ panel: WeightPanel, _ arguments: WeightPanel.Arguments, _ tile: Int, _ rows: Int,
    _ outputs: Int, _ target: UnsafeMutablePointer<Float>, _ stride: Int,
    _ ragged: UnsafeMutablePointer<Float>
  ) {
    let width = kernels.columnTile
    for row in 0..<rows {
      (ragged + row * width).update(from: target + row * stride, count: outputs)
    }
    panel.multiply(arguments, tile: tile, rows: rows, into: ragged, stride: width)
    for row in 0..<rows {
      (target + row * stride).update(from: ragged + row * width, count: outputs)
    }
  }

  private func initialize(
    _ target: UnsafeMutablePointer<Float>, stride: Int, rows: Int, _ outputs: Range<Int>
  ) {
    if accumulates { return }
    for row in 0..<rows {
      if let bias, factors == nil {
        for (column, output) in outputs.enumerated() {
          target[row * stride + column] = bias[output]
        }
      } else {
        (target + row * stride).update(repeating: 0, count: outputs.count)
      }
    }
  }
}
