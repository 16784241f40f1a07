import BlockFormats
import KernelInterface

/// Activations in the order in which kernels read them: tile by tile of `rowTile` rows, inside a
/// tile by columns, rounded if the product's kind asks for it.
struct PackedActivations: @unchecked Sendable {
  let kind: ProductKind
  let rows: Int
  let columns: Int
  /// What the weight's codes ask for; nil if nothing is rounded.
  let layout: CodeLayout?
  private let rowTile: Int
  private let elements: FloatBuffer
  private let scales: FloatBuffer
  private let sums: FloatBuffer

  /// Rounds and packs rows of `x`.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - kind: what kernels compute with.
  ///   - layout: the weight's, which decides about groups and sums; nil for `.float`.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  init(
    _ x: Matrix, kind: ProductKind, layout: CodeLayout?, on pool: ThreadPool
  ) throws(ComputeError) {
    let tile = pool.kernels.rowTile
    let tiles = (x.rows + tile - 1) / tile
    self.kind = kind
    self.layout = kind == .float ? nil : layout
    rows = x.rows
    columns = x.columns
    rowTile = tile
    let isRounded = kind != .float
    let packedRows = tiles * tile
    let groups = packedRows * columns / (layout?.groupWidth ?? 32)
    elements = try FloatBuffer(count: (packedRows * columns * kind.bytesPerElement + 3) / 4)
    scales = try FloatBuffer(count: isRounded ? groups : 0)
    sums = try FloatBuffer(count: layout?.hasMinimums == true ? groups : 0)
    let packed = self
    // Rounded codes of one tile, before they are transposed.
    let scratch = isRounded ? (tile * columns * kind.bytesPerElement + 3) / 4 : 0
    try pool.run(tiles, scratchCount: scratch) { index, scratch in
      packed.pack(x, tile: index, scratch: scratch, kernels: pool.kernels)
    }
  }

  /// Whether a product with a weight of this layout can use them.
  func suits(_ kind: ProductKind, _ layout: CodeLayout?) -> Bool {
    self.kind == kind && self.layout?.groupWidth == layout?.groupWidth
      && self.layout?.hasMinimums == layout?.hasMinimums
  }

  /// Elements of a tile from a column on, as the kernels take them.
  func elements(tile: Int, column: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(elements.pointer)
      + (tile * columns + column) * rowTile * kind.bytesPerElement
  }

  /// `[groups, rowTile]` scales of a tile from a column on.
  func scales(tile: Int, column: Int) -> UnsafePointer<Float> {
    UnsafePointer(scales.pointer + (tile * columns + column) / groupWidth * rowTile)
  }

  /// `[groups, rowTile]` sums of a tile from a column on.
  func sums(tile: Int, column: Int) -> UnsafePointer<Float> {
    UnsafePointer(sums.pointer + (tile * columns + column) / groupWidth * rowTile)
  }

  private var groupWidth: Int { layout?.groupWidth ?? 32 }

  /// Elements from one tile to the next.
  var elementsPerTile: Int { columns * rowTile }
  /// Scales, or sums, from one tile to the next.
  var groupsPerTile: Int { columns / groupWidth * rowTile }

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
        let group = tile * groupsPerTile + row
        var rounded = RoundedRow(
          source: x.row(first + row), count: columns,
          codes: UnsafeMutableRawPointer(scratch) + row * rowBytes, groupWidth: groupWidth,
          scales: scales.pointer + group,
          sums: layout?.hasMinimums == true ? sums.pointer + group : nil, stride: rowTile)
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
      (scales.pointer + tile * groupsPerTile).update(repeating: 0, count: groupsPerTile)
    }
    if layout?.hasMinimums == true {
      (sums.pointer + tile * groupsPerTile).update(repeating: 0, count: groupsPerTile)
    }
  }
}
