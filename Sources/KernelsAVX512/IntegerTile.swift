import CIntrinsics
import KernelInterface

/// Sixteen 32-bit integers, as the intrinsics name them.
typealias Integers = SIMD8<Int64>

/// A tile of 8 rows × 48 outputs: three registers a row, 24 of the 32 that there are.
let rowTile = 8
let columnTile = 48

/// See `KernelSet.multiplyInt8`.
func multiplyInt8(_ tile: UnsafePointer<IntegerTile>) {
  if tile.pointee.groupWidth == 32 {
    multiply(tile.pointee, steps: 8, isWide: false)
  } else {
    multiply(tile.pointee, steps: 4, isWide: false)
  }
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  if tile.pointee.groupWidth == 32 {
    multiply(tile.pointee, steps: 16, isWide: true)
  } else {
    multiply(tile.pointee, steps: 8, isWide: true)
  }
}

/// Picks the version for as many rows as there are.
@inline(__always)
private func multiply(_ tile: IntegerTile, steps: Int, isWide: Bool) {
  switch tile.rows {
  case 1: multiply(tile, first: 0, rows: 1, steps: steps, isWide: isWide)
  case 2: multiply(tile, first: 0, rows: 2, steps: steps, isWide: isWide)
  case 3, 4: multiply(tile, first: 0, rows: 4, steps: steps, isWide: isWide)
  default:
    // Integer and float sums of four rows together just fit into the registers.
    multiply(tile, first: 0, rows: 4, steps: steps, isWide: isWide)
    multiply(tile, first: 4, rows: 4, steps: steps, isWide: isWide)
  }
}

/// `rows`, `steps` and `isWide` are constants wherever this is inlined.
@inline(__always)
private func multiply(_ tile: IntegerTile, first: Int, rows: Int, steps: Int, isWide: Bool) {
  var x = tile.activations + 4 &* first
  var codes = tile.codes
  var scales = UnsafeRawPointer(tile.scales)
  var starts = UnsafeRawPointer(tile.starts)
  let stride = tile.resultStride
  let result = tile.result + first &* stride
  var f0 = FloatRow(UnsafeRawPointer(result))
  var f1 = rows > 1 ? FloatRow(UnsafeRawPointer(result + stride)) : f0
  var f2 = rows > 2 ? FloatRow(UnsafeRawPointer(result + 2 &* stride)) : f0
  var f3 = rows > 2 ? FloatRow(UnsafeRawPointer(result + 3 &* stride)) : f0
  for group in 0..<tile.groups {
    let start = isWide ? Row() : Row(starts)
    var (r0, r1, r2, r3) = (start, start, start, start)
    for _ in 0..<steps {
      let w = Row(codes)
      r0.add(x, 0, w, isWide)
      if rows > 1 { r1.add(x, 4, w, isWide) }
      if rows > 2 {
        r2.add(x, 8, w, isWide)
        r3.add(x, 12, w, isWide)
      }
      x += 4 &* rowTile
      codes += 4 &* columnTile
    }
    let scale = FloatRow(scales)
    let xScales = tile.activationScales + group &* rowTile + first
    f0.add(r0, scale, xScales[0])
    if rows > 1 { f1.add(r1, scale, xScales[1]) }
    if rows > 2 {
      f2.add(r2, scale, xScales[2])
      f3.add(r3, scale, xScales[3])
    }
    scales += 4 &* columnTile
    starts += 4 &* columnTile
  }
  f0.store(to: result)
  if rows > 1 { f1.store(to: result + stride) }
  if rows > 2 {
    f2.store(to: result + 2 &* stride)
    f3.store(to: result + 3 &* stride)
  }
}

/// 48 integers of one row of a tile.
private struct Row {
  var a: Integers
  var b: Integers
  var c: Integers

  @inline(__always)
  init() {
    a = Integers(repeating: 0)
    b = a
    c = a
  }

  @inline(__always)
  init(_ source: UnsafeRawPointer) {
    a = source.loadUnaligned(fromByteOffset: 0, as: Integers.self)
    b = source.loadUnaligned(fromByteOffset: 64, as: Integers.self)
    c = source.loadUnaligned(fromByteOffset: 128, as: Integers.self)
  }

  /// Adds four products of 8 bits, or two of 16, to each element.
  @inline(__always)
  mutating func add(_ x: UnsafeRawPointer, _ offset: Int, _ codes: Row, _ isWide: Bool) {
    let four = _mm512_set1_epi32(x.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    if isWide {
      a = _mm512_dpwssd_epi32(a, four, codes.a)
      b = _mm512_dpwssd_epi32(b, four, codes.b)
      c = _mm512_dpwssd_epi32(c, four, codes.c)
    } else {
      a = _mm512_dpbusd_epi32(a, four, codes.a)
      b = _mm512_dpbusd_epi32(b, four, codes.b)
      c = _mm512_dpbusd_epi32(c, four, codes.c)
    }
  }
}

extension FloatRow {
  /// Adds integer sums times their scales.
  @inline(__always)
  fileprivate mutating func add(_ sums: Row, _ scale: FloatRow, _ xScale: Float) {
    let xScales = _mm512_set1_ps(xScale)
    a = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums.a), scale.a), xScales, a)
    b = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums.b), scale.b), xScales, b)
    c = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums.c), scale.c), xScales, c)
  }
}
