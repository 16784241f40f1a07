import BlockFormats
import KernelInterface

/// Bytes of packed activations that stay in the last-level cache while panel after panel of a
/// weight meets them. Without such a bound, 4200 rows took twice as long for each as 1088.
private let packedBytes = 6 << 20

/// Rows of activations that are packed at once: whole tiles of every kernel set, and enough to
/// spread the cost of unpacking a panel.
private func rowsPerPass(_ weight: WeightMatrix, on pool: ThreadPool) -> Int {
  let kinds = weight.segments.map { ProductKind($0.type, pool.activations, pool.kernels) }
  let bytes = (kinds.map(\.bytesPerElement).max() ?? 4) * max(1, weight.columns)
  return min(1152, max(288, packedBytes / bytes / 48 * 48))
}

/// Bytes that `multiply` allocates beside its arguments, at most.
package func productWorkspace(rows: Int, columns: Int, on pool: ThreadPool) -> Int {
  let (kind, kernels) = (ProductKind.float, pool.kernels)
  let width = WeightPanel.width(kind: kind, columns: columns, kernels: kernels)
  let panel = WeightPanel.scratchCount(kind: kind, width: width, kernels: kernels)
  let packed = min((rows + kernels.rowTile) * columns * 4, max(packedBytes, 288 * columns * 4))
  return packed + 4 * pool.threadCount * (panel + kernels.rowTile * kernels.columnTile)
}

/// Multiplies activations by a stored weight: `y = x · weightᵀ + bias`.
///
/// Activations are packed (and rounded, see `ActivationPrecision`) once, then each thread takes
/// tiles of outputs: it unpacks a panel of the weight into its cache and uses it for all rows.
/// The result does not depend on the number of threads, nor a row on the rows beside it.
///
/// - Parameters:
///   - x: `[rows, weight.columns]`.
///   - weight: `[out, in]`.
///   - bias: `[out]`, or nil.
///   - y: `[rows, weight.rows]`, overwritten; must not overlap `x`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func multiply(
  _ x: Matrix, by weight: WeightMatrix, bias: [Float]? = nil, into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(x.columns == weight.columns && y.columns == weight.rows && x.rows == y.rows)
  precondition(bias.map { $0.count == weight.rows } ?? true)
  if let sums = pool.activationSums { try sums.add(x, of: weight.name, on: pool) }
  try pool.timing(.products) { () throws(ComputeError) in
    try multiplySegments(x, by: weight, bias: bias, into: y, on: pool)
  }
}

/// Most rows that go straight through a weight's blocks, one by one: a panel is worth its unpacking
/// only if more rows meet it.
private let fewRows = 3

private func multiplySegments(
  _ x: Matrix, by weight: WeightMatrix, bias: [Float]?, into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  let step = rowsPerPass(weight, on: pool)
  var first = 0
  for segment in weight.segments {
    let product = SegmentProduct(
      segment, columns: weight.columns, scale: weight.scale, precision: pool.activations,
      kernels: pool.kernels)
    let outputs = first..<first + segment.rows
    let bias = bias.map { Array($0[outputs]) }
    try segment.withRows(0..<segment.rows, columns: weight.columns) {
      bytes throws(ComputeError) in
      if x.rows <= fewRows, product.multipliesRows {
        return try product.runRows(bytes, x, bias: bias, into: y.columns(outputs), on: pool)
      }
      for start in stride(from: 0, to: x.rows, by: step) {
        let rows = start..<min(x.rows, start + step)
        let packed = try PackedActivations(
          x.rows(rows), kind: product.kind, layout: product.layout, partWidth: product.partWidth,
          on: pool)
        defer { packed.giveBack(to: pool) }
        try product.run(bytes, packed, bias: bias, into: y.rows(rows).columns(outputs), on: pool)
      }
    }
    first += segment.rows
  }
}

/// The product with rows of a weight that lie together.
private struct SegmentProduct {
  let segment: WeightMatrix.Segment
  let kind: ProductKind
  /// How the weight's blocks come apart; nil if they are decoded to float32.
  let layout: CodeLayout?
  private let columns: Int
  private let rowBytes: Int
  private let scale: Float
  private let kernels: KernelSet
  private let panelWidth: Int
  let partWidth: Int

  init(
    _ segment: WeightMatrix.Segment, columns: Int, scale: Float, precision: ActivationPrecision,
    kernels: KernelSet
  ) {
    self.segment = segment
    self.columns = columns
    self.scale = scale
    self.kernels = kernels
    // A factor on every element fits into decoding only.
    kind = scale == 1 ? ProductKind(segment.type, precision, kernels) : .float
    layout = kind == .float ? nil : segment.type.codeLayout
    rowBytes = segment.type.byteCount(elements: columns) ?? 0
    partWidth = max(
      1, WeightPanel.partWidth(kind: kind, columns: columns, kernels: kernels))
    panelWidth = WeightPanel.width(kind: kind, columns: columns, kernels: kernels)
  }

  /// - Parameters:
  ///   - bytes: the segment's rows.
  ///   - x: packed for this product.
  ///   - bias: of the segment's rows, or nil.
  ///   - y: `[rows, segment.rows]`.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func run(
    _ bytes: UnsafeRawPointer, _ x: PackedActivations, bias: [Float]?, into y: Matrix,
    on pool: ThreadPool
  ) throws(ComputeError) {
    let outputTiles = (segment.rows + kernels.columnTile - 1) / kernels.columnTile
    let rowTiles = (x.rows + kernels.rowTile - 1) / kernels.rowTile
    // Few outputs and many rows: the rows are shared out too.
    let parts = max(1, min(rowTiles / 8, (4 * pool.threadCount + outputTiles - 1) / outputTiles))
    let partTiles = (rowTiles + parts - 1) / parts
    let ragged = kernels.rowTile * kernels.columnTile
    let panelCount = WeightPanel.scratchCount(kind: kind, width: panelWidth, kernels: kernels)
    try pool.run(outputTiles * parts, scratchCount: panelCount + ragged) { index, scratch in
      let first = index / parts * kernels.columnTile
      let part = index % parts * partTiles
      let panel = WeightPanel(
        segment.type, kind: kind, width: panelWidth, scratch: scratch + ragged, kernels: kernels)
      multiply(
        bytes + first * rowBytes, x,
        tiles: part..<max(part, min(rowTiles, part + partTiles)),
        outputs: first..<min(segment.rows, first + kernels.columnTile), panel, bias, y,
        ragged: scratch)
    }
  }

  /// Whether there is a kernel for single rows.
  var multipliesRows: Bool { kind != .float && kernels.multiplyRow != nil }

  /// The same for few rows, which are not packed into tiles.
  func runRows(
    _ bytes: UnsafeRawPointer, _ x: Matrix, bias: [Float]?, into y: Matrix, on pool: ThreadPool
  ) throws(ComputeError) {
    guard let layout, let multiplyRow = kernels.multiplyRow else { return }
    let activations = try RowActivations(x, kind: kind, layout: layout, on: pool)
    defer { activations.giveBack(to: pool) }
    let scratchCount = RowProduct.scratchCount(columns: columns)
    let outputsPerTask = 16
    let tasks = (segment.rows + outputsPerTask - 1) / outputsPerTask
    try pool.run(tasks, scratchCount: scratchCount) { index, scratch in
      let first = index * outputsPerTask
      let outputs = first..<min(segment.rows, first + outputsPerTask)
      for row in 0..<x.rows {
        let target = y.row(row) + first
        initialize(target, stride: 0, rows: 1, outputs, bias)
        var product = activations.product(
          row: row, with: bytes + first * rowBytes, of: segment, rowBytes: rowBytes,
          outputs: outputs.count, partWidth: partWidth, kind: kind, into: target, scratch: scratch)
        multiplyRow(&product)
      }
    }
  }

  /// One tile of outputs for some tiles of rows.
  private func multiply(
    _ weights: UnsafeRawPointer, _ x: PackedActivations, tiles: Range<Int>, outputs: Range<Int>,
    _ panel: WeightPanel, _ bias: [Float]?, _ y: Matrix, ragged: UnsafeMutablePointer<Float>
  ) {
    for start in stride(from: 0, to: max(columns, 1), by: max(panelWidth, 1)) {
      let part = start..<min(columns, start + panelWidth)
      panel.fill(weights, rowBytes: rowBytes, count: outputs.count, columns: part, scale: scale)
      for start in stride(from: part.lowerBound, to: max(part.upperBound, 1), by: partWidth) {
        let columns = start..<min(part.upperBound, start + partWidth)
        let arguments = panel.arguments(x, columns: columns, first: part.lowerBound)
        for tile in tiles {
          let firstRow = tile * kernels.rowTile
          let rows = min(kernels.rowTile, x.rows - firstRow)
          let target = y.row(firstRow) + outputs.lowerBound
          if start == 0 { initialize(target, stride: y.stride, rows: rows, outputs, bias) }
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
    _ target: UnsafeMutablePointer<Float>, stride: Int, rows: Int, _ outputs: Range<Int>,
    _ bias: [Float]?
  ) {
    for row in 0..<rows {
      if let bias {
        for (column, output) in outputs.enumerated() {
          target[row * stride + column] = bias[output]
        }
      } else {
        (target + row * stride).update(repeating: 0, count: outputs.count)
      }
    }
  }
}
