import KernelInterface

/// Activations in the order in which kernels read them: tile by tile of `rowTile` rows, inside a
/// tile by columns, rounded if the product's kind asks for it.
struct PackedActivations: @unchecked Sendable {
  let kind: ProductKind
  let rows: Int
  let columns: Int
  /// Elements of which sums are kept for a weight's minimums; 0 for none.
  let sumWidth: Int
  private let rowTile: Int
  private let elements: FloatBuffer
  private let scales: FloatBuffer
  private let sums: FloatBuffer

  /// Rounds and packs rows of `x`.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  init(
    _ x: Matrix, kind: ProductKind, sumWidth: Int, on pool: ThreadPool
  ) throws(ComputeError) {
    let tile = pool.kernels.rowTile
    let tiles = (x.rows + tile - 1) / tile
    self.kind = kind
    self.sumWidth = sumWidth
    rows = x.rows
    columns = x.columns
    rowTile = tile
    let isRounded = kind != .float
    let packedRows = tiles * tile
    elements = try FloatBuffer(count: (packedRows * columns * kind.bytesPerElement + 3) / 4)
    scales = try FloatBuffer(count: isRounded ? packedRows * columns / 32 : 0)
    sums = try FloatBuffer(count: sumWidth > 0 ? packedRows * columns / sumWidth : 0)
    let packed = self
    // Rounded codes of one tile, before they are transposed.
    let scratch = isRounded ? (tile * columns * kind.bytesPerElement + 3) / 4 : 0
    try pool.run(tiles, scratchCount: scratch) { index, scratch in
      packed.pack(x, tile: index, scratch: scratch, kernels: pool.kernels)
    }
  }

  /// Elements of a tile from a column on, as the kernels take them.
  func elements(tile: Int, column: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(elements.pointer)
      + (tile * columns + column) * rowTile * kind.bytesPerElement
  }

  /// `[columns / 32, rowTile]` scales of a tile from a column on.
  func scales(tile: Int, column: Int) -> UnsafePointer<Float> {
    UnsafePointer(scales.pointer + (tile * columns + column) / 32 * rowTile)
  }

  /// `[columns / sumWidth, rowTile]` sums of a tile from a column on.
  func sums(tile: Int, column: Int) -> UnsafePointer<Float> {
    UnsafePointer(sums.pointer + (tile * columns + column) / sumWidth * rowTile)
  }

  /// Elements from one tile to the next.
  var elementsPerTile: Int { columns * rowTile }
  /// Scales from one tile to the next.
  var scalesPerTile: Int { columns / 32 * rowTile }
  /// Sums from one tile to the next.
  var sumsPerTile: Int { sumWidth > 0 ? columns / sumWidth * rowTile : 0 }

  private func pack(
    _ x: Matrix, tile: Int, scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) {
    let first = tile * rowTile
    let count = min(rowTile, rows - first)
    let destination = UnsafeMutableRawPointer(mutating: elements(tile: tile, column: 0))
    if count < rowTile { clear(tile) }
    var transposition = Transposition(
      source: x.row(first), sourceStride: x.stride, rows: count, columns: columns,
      destination: destination, destinationStride: rowTile)
    if kind != .float {
      let rowBytes = columns * kind.bytesPerElement
      for row in 0..<count {
        var rounded = RoundedRow(
          source: x.row(first + row), count: columns,
          codes: UnsafeMutableRawPointer(scratch) + row * rowBytes,
          scales: scales.pointer + tile * columns / 32 * rowTile + row, sums: sums.pointer,
          sumWidth: sumWidth, stride: rowTile)
        if sumWidth > 0 { rounded.sums += tile * columns / sumWidth * rowTile + row }
        if kind == .int8 { kernels.roundToInt8(&rounded) } else { kernels.roundToInt16(&rounded) }
      }
      transposition.source = UnsafeRawPointer(scratch)
      transposition.sourceStride = rowBytes / 4
      transposition.columns = rowBytes / 4
    }
    kernels.transpose(&transposition)
  }

  /// Zeros for the rows that the last tile lacks.
  private func clear(_ tile: Int) {
    let start = UnsafeMutableRawPointer(mutating: elements(tile: tile, column: 0))
    start.initializeMemory(
      as: UInt8.self, repeating: 0, count: rowTile * columns * kind.bytesPerElement)
    if kind != .float {
      (scales.pointer + tile * columns / 32 * rowTile)
        .update(repeating: 0, count: columns / 32 * rowTile)
    }
    if sumWidth > 0 {
      (sums.pointer + tile * columns / sumWidth * rowTile)
        .update(repeating: 0, count: columns / sumWidth * rowTile)
    }
  }
}
