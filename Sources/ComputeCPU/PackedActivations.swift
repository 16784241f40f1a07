import BlockFormats
import Compute
import KernelInterface
import Machine

/// How a product takes its activations. Products that take them alike can share them.
struct ActivationPacking: Equatable {
  /// What kernels compute with.
  let kind: ProductKind
  /// Columns that share a scale.
  let scaleWidth: Int
  /// Columns that share a sum.
  let groupWidth: Int
  /// Whether sums are wanted.
  let hasSums: Bool
  /// Columns that are taken at once, whole groups.
  let partWidth: Int

  /// - Parameters:
  ///   - kind: what kernels compute with.
  ///   - layout: of the weight's codes; not read for `.float`.
  ///   - partWidth: columns that are taken at once, whole groups; at least 1 is taken.
  init(_ kind: ProductKind, _ layout: CodeLayout?, partWidth: Int) {
    let layout = kind == .float ? nil : layout
    self.kind = kind
    self.partWidth = max(1, partWidth)
    scaleWidth = layout.map(kind.scaleWidth) ?? 32
    groupWidth = layout?.groupWidth ?? 32
    hasSums = layout?.hasMinimums == true
  }
}

/// Activations in the order in which kernels read them, quantized if the product's kind asks for
/// it: part by part of the columns, then tile by tile of `rowTile` rows, inside a tile by columns.
///
/// One part of a weight's panel meets the same part of all tiles. Lying end to end they are read
/// ahead by the CPU; with other parts between them it waited for each (float products a quarter
/// slower, products of 16 bits too).
struct PackedActivations: @unchecked Sendable {
  let packing: ActivationPacking
  let rows: Int
  let columns: Int
  private let rowTile: Int
  private let tiles: Int
  private let elements: FloatBuffer
  /// Floats before the first element.
  private let offset: Int
  private let scales: FloatBuffer
  private let sums: FloatBuffer

  /// Quantizes and packs rows.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - packing: for which products.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  init(_ x: ProductInput, _ packing: ActivationPacking, on device: CPUDevice) throws(ComputeError) {
    let (tile, kind) = (device.kernels.rowTile, packing.kind)
    tiles = (x.rows + tile - 1) / tile
    self.packing = packing
    rows = x.rows
    columns = x.columns
    rowTile = tile
    let isRounded = kind != .float
    let packedRows = tiles * tile
    elements = try device.borrow(count: (packedRows * columns * kind.bytesPerElement + 3) / 4)
    offset = 0
    scales = try device.borrow(count: isRounded ? packedRows * columns / packing.scaleWidth : 0)
    sums = try device.borrow(
      count: packing.hasSums ? packedRows * columns / packing.groupWidth : 0)
    let packed = self
    let made = x.scratchCount(rows: min(tile, x.rows))
    // Quantized codes of a part of one tile, before they are transposed.
    let codes = isRounded ? (tile * packing.partWidth * kind.bytesPerElement + 3) / 4 : 0
    try device.run(tiles, scratchCount: made + codes) { index, scratch in
      let range = index * tile..<min(x.rows, (index + 1) * tile)
      let source = x.made(range, scratch: scratch, kernels: device.kernels)
      for first in stride(from: 0, to: packed.columns, by: packing.partWidth) {
        packed.pack(
          source.first + first, stride: source.stride, rows: range.count, tile: index, part: first,
          scratch: scratch + made, kernels: device.kernels)
      }
    }
  }

  /// Rows in float32 that are written later, see `write`.
  ///
  /// - Parameters:
  ///   - rows: number of rows.
  ///   - columns: elements of a row.
  ///   - packing: of the kind `.float`.
  ///   - rowTile: rows of a tile.
  ///   - buffer: whose memory is used; whoever borrowed it gives it back.
  ///   - offset: floats of the buffer before the first element; `floatCount` follow.
  init(
    rows: Int, columns: Int, _ packing: ActivationPacking, rowTile: Int, in buffer: FloatBuffer,
    at offset: Int
  ) {
    precondition(packing.kind == .float)
    self.packing = packing
    self.rows = rows
    self.columns = columns
    self.rowTile = rowTile
    tiles = (rows + rowTile - 1) / rowTile
    (elements, scales, sums) = (buffer, buffer, buffer)
    self.offset = offset
  }

  /// Floats that rows in float32 take.
  static func floatCount(rows: Int, columns: Int, rowTile: Int) -> Int {
    (rows + rowTile - 1) / rowTile * rowTile * columns
  }

  /// Writes some columns of one tile of rows in float32.
  ///
  /// - Parameters:
  ///   - values: `[rowTile, stride]`.
  ///   - stride: floats from row to row.
  ///   - tile: which tile.
  ///   - range: which columns.
  func write(
    _ values: UnsafePointer<Float>, stride: Int, tile: Int, columns range: Range<Int>
  ) {
    for (index, column) in range.enumerated() {
      let target = elements.pointer + offset + place(tile, column)
      for row in 0..<rowTile { target[row] = values[row * stride + index] }
    }
  }

  var kind: ProductKind { packing.kind }
  /// Columns that share a scale.
  var scaleWidth: Int { packing.scaleWidth }
  /// Columns that share a sum.
  var groupWidth: Int { packing.groupWidth }
  private var hasSums: Bool { packing.hasSums }

  /// Gives the memory to the next product. Not to be used afterwards.
  func giveBack(to device: CPUDevice) {
    for buffer in [elements, scales, sums] { device.giveBack(buffer) }
  }

  /// Elements of a tile from a column on, up to the end of the column's part.
  func elements(tile: Int, column: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(elements.pointer + offset) + place(tile, column) * kind.bytesPerElement
  }

  /// `[width / scaleWidth, rowTile]` scales of a tile from a column on, up to the end of the
  /// column's part.
  func scales(tile: Int, column: Int) -> UnsafeMutablePointer<Float> {
    scales.pointer + place(tile, column) / scaleWidth
  }

  /// `[groups, rowTile]` sums of a tile from a column on, up to the end of the column's part.
  func sums(tile: Int, column: Int) -> UnsafeMutablePointer<Float> {
    sums.pointer + place(tile, column) / groupWidth
  }

  /// Where a tile's column lies, in elements.
  private func place(_ tile: Int, _ column: Int) -> Int {
    let part = column / packing.partWidth * packing.partWidth
    return (part * tiles + width(ofPart: part) * tile + column - part) * rowTile
  }

  private func width(ofPart first: Int) -> Int { min(packing.partWidth, columns - first) }

  /// Elements from one tile to the next, in a column's part.
  func elementsPerTile(column: Int) -> Int {
    width(ofPart: column / packing.partWidth * packing.partWidth) * rowTile
  }

  /// Packs what some columns need, a part of one tile.
  private func pack(
    _ source: UnsafePointer<Float>, stride sourceStride: Int, rows count: Int, tile: Int,
    part first: Int, scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) {
    let width = width(ofPart: first)
    let destination = UnsafeMutableRawPointer(mutating: elements(tile: tile, column: first))
    if count < rowTile { clear(tile, part: first) }
    var transposition = Transposition(
      source: source, sourceStride: sourceStride, rows: count, columns: width,
      destination: destination, destinationStride: rowTile)
    if kind != .float {
      let rowBytes = width * kind.bytesPerElement
      for index in 0..<count {
        var rounded = RoundedRow(
          source: source + index * sourceStride, count: width,
          codes: UnsafeMutableRawPointer(scratch) + index * rowBytes, groupWidth: groupWidth,
          scaleWidth: scaleWidth, scales: scales(tile: tile, column: first) + index,
          sums: hasSums ? sums(tile: tile, column: first) + index : nil, stride: rowTile)
        if kind == .int16 { kernels.roundToInt16(&rounded) } else { kernels.roundToInt8(&rounded) }
      }
      transposition.source = UnsafeRawPointer(scratch)
      transposition.sourceStride = rowBytes / 4
      transposition.columns = rowBytes / 4
    }
    kernels.transpose(&transposition)
  }

  /// Zeros for the rows that the last tile lacks.
  private func clear(_ tile: Int, part first: Int) {
    let count = elementsPerTile(column: first)
    let start = UnsafeMutableRawPointer(mutating: elements(tile: tile, column: first))
    start.initializeMemory(as: UInt8.self, repeating: 0, count: count * kind.bytesPerElement)
    if kind != .float {
      scales(tile: tile, column: first).update(repeating: 0, count: count / scaleWidth)
    }
    if hasSums { sums(tile: tile, column: first).update(repeating: 0, count: count / groupWidth) }
  }
}
