import CIntrinsics
import KernelInterface

/// A tile of 6 rows × 16 outputs: two registers a row, 12 of the 16 that there are.
let rowTile = 6
let columnTile = 16

/// See `KernelSet.multiplyInt8`.
///
/// Products are summed in 16 bits as long as they fit: each instruction adds two products of at
/// most 255 · `largestCode`, so 8, 4 or 2 of them stay below 32768.
func multiplyInt8(_ tile: UnsafePointer<IntegerTile>) {
  let isNarrow = tile.pointee.groupWidth == 16
  switch tile.pointee.largestCode {
  case ...8 where isNarrow: multiply(tile, as: Codes4Groups16.self)
  case ...8: multiply(tile, as: Codes4Groups32.self)
  case _ where isNarrow: multiply(tile, as: Codes6Groups16.self)
  case ...16: multiply(tile, as: Codes5Groups32.self)
  default: multiply(tile, as: Codes6Groups32.self)
  }
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  if tile.pointee.groupWidth == 16 {
    multiply(tile, as: WideGroups16.self)
  } else {
    multiply(tile, as: WideGroups32.self)
  }
}

/// How the sums of one group are made.
private protocol GroupShape {
  /// How often a group's sums move from 16 to 32 bits.
  static var chunks: Int { get }
  /// Instructions on each sum between such moves, for a group of this width.
  ///
  /// Where it is not a constant, it is computed so that the compiler does not unroll the loop: it
  /// would go through it row by row and run out of registers (a tenth slower, measured).
  static func steps(_ groupWidth: Int) -> Int
  /// Whether activations have 16 bits, and sums 32 from the start.
  static var isWide: Bool { get }
}

private enum Codes4Groups16: GroupShape {
  static var chunks: Int { 1 }
  static func steps(_ groupWidth: Int) -> Int { groupWidth &>> 2 }
  static var isWide: Bool { false }
}
private enum Codes4Groups32: GroupShape {
  static var chunks: Int { 1 }
  static func steps(_ groupWidth: Int) -> Int { groupWidth &>> 2 }
  static var isWide: Bool { false }
}
private enum Codes5Groups32: GroupShape {
  static var chunks: Int { 2 }
  static func steps(_ groupWidth: Int) -> Int { groupWidth &>> 3 }
  static var isWide: Bool { false }
}
private enum Codes6Groups16: GroupShape {
  static var chunks: Int { 2 }
  static func steps(_ groupWidth: Int) -> Int { 2 }
  static var isWide: Bool { false }
}
private enum Codes6Groups32: GroupShape {
  static var chunks: Int { 4 }
  static func steps(_ groupWidth: Int) -> Int { 2 }
  static var isWide: Bool { false }
}
private enum WideGroups16: GroupShape {
  static var chunks: Int { 1 }
  static func steps(_ groupWidth: Int) -> Int { 8 }
  static var isWide: Bool { true }
}
private enum WideGroups32: GroupShape {
  static var chunks: Int { 1 }
  static func steps(_ groupWidth: Int) -> Int { 16 }
  static var isWide: Bool { true }
}

private func multiply<Shape: GroupShape>(
  _ tile: UnsafePointer<IntegerTile>, as shape: Shape.Type
) {
  if tile.pointee.rows == 1 {
    multiplyOne(tile, as: shape)
  } else {
    multiplyThree(tile, as: shape, first: 0)
    if tile.pointee.rows > 3 { multiplyThree(tile, as: shape, first: 3) }
  }
}

@inline(never)
private func multiplyOne<Shape: GroupShape>(
  _ tile: UnsafePointer<IntegerTile>, as shape: Shape.Type
) {
  multiply(tile.pointee, as: shape, first: 0, rows: 1)
}

@inline(never)
private func multiplyThree<Shape: GroupShape>(
  _ tile: UnsafePointer<IntegerTile>, as shape: Shape.Type, first: Int
) {
  multiply(tile.pointee, as: shape, first: first, rows: 3)
}

/// Three rows' sums in both widths just fit into the registers. `rows` is 1 or 3 and a constant
/// wherever this is inlined.
@inline(__always)
private func multiply<Shape: GroupShape>(
  _ tile: IntegerTile, as shape: Shape.Type, first: Int, rows: Int
) {
  var x = tile.activations + 4 &* first
  var codes = tile.codes
  var scales = UnsafeRawPointer(tile.scales)
  var starts = UnsafeRawPointer(tile.starts)
  let steps = Shape.steps(tile.groupWidth)
  let stride = tile.resultStride
  let result = tile.result + first &* stride
  var f0 = FloatRow(UnsafeRawPointer(result))
  var f1 = rows > 1 ? FloatRow(UnsafeRawPointer(result + stride)) : f0
  var f2 = rows > 1 ? FloatRow(UnsafeRawPointer(result + 2 &* stride)) : f0
  for group in 0..<tile.groups {
    let start = Shape.isWide ? Row() : Row(starts)
    var (s0, s1, s2) = (start, start, start)
    for _ in 0..<Shape.chunks {
      var (r0, r1, r2) = (Row(), Row(), Row())
      var step = 0
      while step < steps {
        step &+= 1
        let w = Row(codes)
        r0.add(x, 0, w, Shape.isWide)
        if rows > 1 {
          r1.add(x, 4, w, Shape.isWide)
          r2.add(x, 8, w, Shape.isWide)
        }
        x += 4 &* rowTile
        codes += 4 &* columnTile
      }
      s0.gather(r0, Shape.isWide)
      if rows > 1 {
        s1.gather(r1, Shape.isWide)
        s2.gather(r2, Shape.isWide)
      }
    }
    let scale = FloatRow(scales)
    let xScales = tile.activationScales + group &* rowTile + first
    f0.add(s0, scale, xScales[0])
    if rows > 1 {
      f1.add(s1, scale, xScales[1])
      f2.add(s2, scale, xScales[2])
    }
    scales += 4 &* columnTile
    starts += 4 &* columnTile
  }
  f0.store(to: result)
  if rows > 1 {
    f1.store(to: result + stride)
    f2.store(to: result + 2 &* stride)
  }
}

/// Sums of one row of a tile: 16 of 32 bits, or 32 of 16 bits that belong together in pairs.
private struct Row {
  var a: SIMD4<Int64>
  var b: SIMD4<Int64>

  @inline(__always)
  init() {
    a = SIMD4(repeating: 0)
    b = a
  }

  @inline(__always)
  init(_ source: UnsafeRawPointer) {
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD4<Int64>.self)
    b = source.loadUnaligned(fromByteOffset: 32, as: SIMD4<Int64>.self)
  }

  /// Adds two products of 8 bits to each sum of 16 bits, or two of 16 bits to each of 32.
  @inline(__always)
  mutating func add(_ x: UnsafeRawPointer, _ offset: Int, _ codes: Row, _ isWide: Bool) {
    let four = _mm256_set1_epi32(x.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    if isWide {
      a = _mm256_add_epi32(a, _mm256_madd_epi16(four, codes.a))
      b = _mm256_add_epi32(b, _mm256_madd_epi16(four, codes.b))
    } else {
      a = _mm256_add_epi16(a, _mm256_maddubs_epi16(four, codes.a))
      b = _mm256_add_epi16(b, _mm256_maddubs_epi16(four, codes.b))
    }
  }

  /// Adds sums of 16 bits in pairs, or takes over sums of 32.
  @inline(__always)
  mutating func gather(_ sums: Row, _ isWide: Bool) {
    if isWide {
      self = sums
    } else {
      let ones = _mm256_set1_epi16(1)
      a = _mm256_add_epi32(a, _mm256_madd_epi16(sums.a, ones))
      b = _mm256_add_epi32(b, _mm256_madd_epi16(sums.b, ones))
    }
  }
}

extension FloatRow {
  /// Adds integer sums times their scales.
  @inline(__always)
  fileprivate mutating func add(_ sums: Row, _ scale: FloatRow, _ xScale: Float) {
    let xScales = _mm256_set1_ps(xScale)
    a = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums.a), scale.a), xScales, a)
    b = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums.b), scale.b), xScales, b)
  }
}
