import BlockFormats
import Compute
import KernelInterface
import Machine

/// Room for `columnTile` rows of a weight, some columns at a time, in the order in which kernels
/// read them.
///
/// It is filled once and used for all activations, part by part: the panel stays in the
/// second-level cache, a part in the first.
struct WeightPanel {
  let kind: ProductKind
  /// Most columns that it takes at once.
  let width: Int
  private let type: ElementType
  private let layout: CodeLayout?
  /// Columns that share a scale and a start.
  private let groupWidth: Int
  private let kernels: KernelSet
  /// Rows as they are unpacked, before they are transposed.
  private let rows: UnsafeMutablePointer<Float>
  private let elements: UnsafeMutablePointer<Float>
  private let scales: UnsafeMutablePointer<Float>
  private let minimums: UnsafeMutablePointer<Float>
  private let starts: UnsafeMutablePointer<Int32>
  private let integerScales: UnsafeMutablePointer<Int32>
  /// Part of a row before it is rounded.
  private let unrounded: UnsafeMutablePointer<Float>

  /// Rows that are unpacked before they are transposed together.
  private static let band = 8

  /// Bytes that stay in the second-level cache. Long runs of a row are read at once, which the
  /// CPU sees coming; with runs of a few hundred bytes it waited for memory (Q8_0, one row: half as
  /// fast).
  private static let cacheBytes = 256 << 10

  /// Columns of a part: whole blocks of every type. It depends on nothing but the weight, for it
  /// decides about the order of sums.
  static func partWidth(kind: ProductKind, columns: Int, kernels: KernelSet) -> Int {
    let fitting = kernels.panelBytes / (kernels.columnTile * kind.bytesPerElement)
    return min(columns, max(256, fitting / 256 * 256))
  }

  /// Columns that a panel takes: whole parts.
  static func width(kind: ProductKind, columns: Int, kernels: KernelSet) -> Int {
    let part = max(1, partWidth(kind: kind, columns: columns, kernels: kernels))
    let fitting = cacheBytes / (kernels.columnTile * kind.bytesPerElement)
    return min(columns, max(part, fitting / part * part))
  }

  /// Floats of scratch memory for a panel.
  ///
  /// - Parameters:
  ///   - kind: what is computed with.
  ///   - width: most columns that the panel takes.
  ///   - isRounded: whether it rounds a weight without blocks of codes.
  ///   - kernels: that unpack and multiply.
  /// - Returns: whole cache lines.
  static func scratchCount(
    kind: ProductKind, width: Int, isRounded: Bool = false, kernels: KernelSet
  ) -> Int {
    let elements = (band + kernels.columnTile) * width * kind.bytesPerElement / 4
    // Scales, minimums, starts and integer scales of groups of 16.
    let groups = kind == .float ? 0 : 4 * kernels.columnTile * width / 16
    return (elements + groups + (isRounded ? width : 0) + 31) / 16 * 16
  }

  /// - Parameters:
  ///   - type: of the weight. One without blocks of codes is rounded to codes of 8 bits where
  ///     `kind` is `.int8`.
  ///   - kind: what is computed with.
  ///   - width: most columns that it takes.
  ///   - groupWidth: columns that share a scale where the weight is rounded.
  ///   - scratch: memory of `scratchCount` floats.
  ///   - kernels: that unpack and multiply.
  init(
    _ type: ElementType, kind: ProductKind, width: Int, groupWidth: Int = 32,
    scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) {
    self.type = type
    self.kind = kind
    self.width = width
    self.kernels = kernels
    layout = type.codeLayout
    self.groupWidth = layout?.groupWidth ?? groupWidth
    elements = scratch
    rows = elements + kernels.columnTile * width * kind.bytesPerElement / 4
    scales = rows + Self.band * width * kind.bytesPerElement / 4
    let groups = kind == .float ? 0 : kernels.columnTile * width / 16
    minimums = scales + groups
    starts = UnsafeMutableRawPointer(minimums + groups).assumingMemoryBound(to: Int32.self)
    integerScales = starts + groups
    unrounded = UnsafeMutableRawPointer(integerScales + groups).assumingMemoryBound(to: Float.self)
  }

  /// Unpacks part of a weight.
  ///
  /// - Parameters:
  ///   - bytes: the first row's first byte.
  ///   - rowBytes: bytes from row to row.
  ///   - count: rows; the missing ones of a tile count as zero.
  ///   - columns: whole blocks, at most `width`.
  ///   - scale: scales of the weight's elements; none where it has blocks of codes, unless the
  ///     kind is `.float`.
  ///   - firstRow: the first row's number in the weight.
  ///   - place: the first row's place in the panel. Rows before it are left alone; whoever fills
  ///     a panel with rows of several weights begins at 0.
  func fill(
    _ bytes: UnsafeRawPointer, rowBytes: Int, count: Int, columns: Range<Int>, scale: WeightScale,
    firstRow: Int, at place: Int = 0
  ) {
    let offset = columns.lowerBound / type.elementsPerBlock * type.bytesPerBlock
    if place == 0, count < kernels.columnTile { clear(columns.count) }
    for first in stride(from: 0, to: count, by: Self.band) {
      let band = min(Self.band, count - first)
      var transposition = Transposition(
        source: rows, sourceStride: columns.count * kind.bytesPerElement / 4, rows: band,
        columns: columns.count * kind.bytesPerElement / 4, destination: elements + place + first,
        destinationStride: kernels.columnTile)
      let source = bytes + first * rowBytes + offset
      if type == .f32, scale == .one, kind == .float, rowBytes % 4 == 0 {
        transposition.source = source
        transposition.sourceStride = rowBytes / 4
      } else {
        for row in 0..<band {
          unpack(
            source + row * rowBytes, row: row, tileRow: place + first + row, columns.count,
            scale.factor(of: firstRow + first + row))
        }
      }
      kernels.transpose(&transposition)
    }
  }

  private func unpack(
    _ source: UnsafeRawPointer, row: Int, tileRow: Int, _ count: Int, _ scale: Float
  ) {
    let destination = UnsafeMutableRawPointer(rows) + row * count * kind.bytesPerElement
    if kind != .float, layout != nil {
      var unpacked = UnpackedRow(
        type: type, source: source, blocks: count / type.elementsPerBlock,
        isWide: kind == .int16, codes: destination, scales: scales + tileRow,
        integerScales: kind == .int8Blocks ? integerScales + tileRow : nil,
        minimums: minimums + tileRow, starts: starts + tileRow, stride: kernels.columnTile)
      kernels.unpack(&unpacked)
      return
    }
    let values =
      kind == .float ? destination.assumingMemoryBound(to: Float.self) : unrounded
    if type == .f16 || type == .bf16 {
      kernels.decode(type, source, count, values)
    } else {
      type.decode(source, count: count, into: values)
    }
    if scale != 1 {
      for index in 0..<count { values[index] *= scale }
    }
    if kind != .float { round(values, count, to: destination, tileRow: tileRow) }
  }

  /// Rounds part of a row to codes of 8 bits and their scales, as activations are.
  private func round(
    _ values: UnsafePointer<Float>, _ count: Int, to codes: UnsafeMutableRawPointer, tileRow: Int
  ) {
    var rounded = RoundedRow(
      source: values, count: count, codes: codes, groupWidth: groupWidth, scaleWidth: groupWidth,
      scales: scales + tileRow, sums: nil, stride: kernels.columnTile)
    kernels.roundToInt8(&rounded)
    // Activations are 128 more than they count, weights are not.
    let half = SIMD16<UInt8>(repeating: 128)
    for group in 0..<count / groupWidth {
      var sums = SIMD16<Int16>()
      for first in stride(from: group * groupWidth, to: (group + 1) * groupWidth, by: 16) {
        let signed = codes.loadUnaligned(fromByteOffset: first, as: SIMD16<UInt8>.self) ^ half
        codes.storeBytes(of: signed, toByteOffset: first, as: SIMD16<UInt8>.self)
        sums &+= SIMD16<Int16>(truncatingIfNeeded: unsafeBitCast(signed, to: SIMD16<Int8>.self))
      }
      starts[tileRow + group * kernels.columnTile] = -128 * Int32(sums.wrappedSum())
    }
  }

  /// Zeros for the rows that the last tile lacks.
  private func clear(_ columns: Int) {
    elements.update(
      repeating: 0, count: kernels.columnTile * columns * kind.bytesPerElement / 4)
    guard kind != .float else { return }
    let groups = columns / groupWidth * kernels.columnTile
    scales.update(repeating: 0, count: groups)
    minimums.update(repeating: 0, count: groups)
    starts.update(repeating: 0, count: groups)
    integerScales.update(repeating: 0, count: groups)
  }

  /// The arguments of the kernels that are the same for all tiles of activations.
  ///
  /// - Parameters:
  ///   - x: packed for this panel's kind.
  ///   - columns: a part of the columns that the panel was filled with, the same as one of `x`.
  ///   - first: the first of those columns.
  /// - Returns: arguments for `multiply`.
  func arguments(_ x: PackedActivations, columns: Range<Int>, first: Int) -> Arguments {
    let offset = columns.lowerBound - first
    let elements = elements + offset * kernels.columnTile * kind.bytesPerElement / 4
    let group = offset / groupWidth * kernels.columnTile
    let scale = offset / x.scaleWidth * kernels.columnTile
    let groups = columns.count / groupWidth
    let hasMinimums = kind != .float && layout?.hasMinimums ?? false
    let activations = x.elements(tile: 0, column: columns.lowerBound)
    let elementsPerTile = x.elementsPerTile(column: columns.lowerBound)
    let floats =
      hasMinimums
      ? UnsafePointer(x.sums(tile: 0, column: columns.lowerBound))
      : activations.assumingMemoryBound(to: Float.self)
    return Arguments(
      hasFloats: kind == .float || hasMinimums,
      floats: FloatTile(
        activations: floats,
        weights: hasMinimums ? minimums + group : elements,
        width: hasMinimums ? groups : columns.count,
        rows: 0, columns: kernels.columnTile, result: elements, resultStride: 0),
      integers: IntegerTile(
        activations: activations,
        activationScales: x.scales(tile: 0, column: columns.lowerBound), codes: elements,
        scales: scales + scale, integerScales: integerScales + group, starts: starts + scale,
        groups: groups, groupWidth: groupWidth, rows: 0, result: elements, resultStride: 0),
      floatsPerTile: hasMinimums ? elementsPerTile / groupWidth : elementsPerTile,
      bytesPerTile: elementsPerTile * kind.bytesPerElement,
      scalesPerTile: elementsPerTile / x.scaleWidth)
  }

  /// See `arguments`.
  struct Arguments {
    /// Whether there is a product in float32: all of it, or the minimums.
    let hasFloats: Bool
    /// For the first tile of activations.
    let floats: FloatTile
    /// For the first tile of activations.
    let integers: IntegerTile
    let floatsPerTile: Int
    let bytesPerTile: Int
    let scalesPerTile: Int
  }

  /// Adds the product with one tile of activations to a tile of the result.
  ///
  /// - Parameters:
  ///   - arguments: what `arguments` gave.
  ///   - tile: which tile of the activations.
  ///   - count: rows of the tile that count.
  ///   - columns: columns of the tile that count; nil for all.
  ///   - result: `[rowTile, columnTile]`.
  ///   - stride: floats from one row of the result to the next.
  func multiply(
    _ arguments: Arguments, tile: Int, rows count: Int, columns: Int? = nil,
    into result: UnsafeMutablePointer<Float>, stride: Int
  ) {
    if arguments.hasFloats {
      var floats = arguments.floats
      if let columns { floats.columns = columns }
      floats.activations += tile * arguments.floatsPerTile
      floats.rows = count
      floats.result = result
      floats.resultStride = stride
      kernels.multiplyFloats(&floats)
    }
    guard kind != .float else { return }
    var integers = arguments.integers
    integers.activations += tile * arguments.bytesPerTile
    integers.activationScales += tile * arguments.scalesPerTile
    integers.rows = count
    integers.result = result
    integers.resultStride = stride
    switch kind {
    case .float: break
    case .int8: kernels.multiplyInt8(&integers)
    case .int8Blocks: kernels.multiplyInt8Blocks?(&integers)
    case .int16: kernels.multiplyInt16(&integers)
    }
  }
}
