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
  case 1: multiply(tile, rows: 1, steps: steps, isWide: isWide)
  case 2: multiply(tile, rows: 2, steps: steps, isWide: isWide)
  case 3, 4: multiply(tile, rows: 4, steps: steps, isWide: isWide)
  default: multiply(tile, rows: 8, steps: steps, isWide: isWide)
  }
}

/// `rows`, `steps` and `isWide` are constants wherever this is inlined.
@inline(__always)
private func multiply(_ tile: IntegerTile, rows: Int, steps: Int, isWide: Bool) {
  var x = tile.activations
  var codes = tile.codes
  var scales = UnsafeRawPointer(tile.scales)
  var starts = UnsafeRawPointer(tile.starts)
  let stride = tile.resultStride
  // Groups of 16 share the activations' scale of 32 in pairs.
  let scaleShift = tile.groupWidth == 16 ? 1 : 0
  for group in 0..<tile.groups {
    let first = isWide ? Row() : Row(starts)
    var (r0, r1, r2, r3) = (first, first, first, first)
    var (r4, r5, r6, r7) = (first, first, first, first)
    for _ in 0..<steps {
      let w = Row(codes)
      r0.add(x, 0, w, isWide)
      if rows > 1 { r1.add(x, 4, w, isWide) }
      if rows > 2 {
        r2.add(x, 8, w, isWide)
        r3.add(x, 12, w, isWide)
      }
      if rows > 4 {
        r4.add(x, 16, w, isWide)
        r5.add(x, 20, w, isWide)
        r6.add(x, 24, w, isWide)
        r7.add(x, 28, w, isWide)
      }
      x += 4 &* rowTile
      codes += 4 &* columnTile
    }
    let scale = FloatRow(scales)
    let xScales = tile.activationScales + (group &>> scaleShift) &* rowTile
    var result = tile.result
    r0.accumulate(into: &result, scale, xScales[0], stride)
    if rows > 1 { r1.accumulate(into: &result, scale, xScales[1], stride) }
    if rows > 2 {
      r2.accumulate(into: &result, scale, xScales[2], stride)
      r3.accumulate(into: &result, scale, xScales[3], stride)
    }
    if rows > 4 {
      r4.accumulate(into: &result, scale, xScales[4], stride)
      r5.accumulate(into: &result, scale, xScales[5], stride)
      r6.accumulate(into: &result, scale, xScales[6], stride)
      r7.accumulate(into: &result, scale, xScales[7], stride)
    }
    scales += 4 &* columnTile
    starts += 4 &* columnTile
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

  /// Adds the scaled sums to a row of the result and goes on to the next row.
  @inline(__always)
  func accumulate(
    into result: inout UnsafeMutablePointer<Float>, _ scale: FloatRow, _ xScale: Float,
    _ stride: Int
  ) {
    let xScales = _mm512_set1_ps(xScale)
    let old = FloatRow(UnsafeRawPointer(result))
    let a = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(a), scale.a), xScales, old.a)
    let b = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(b), scale.b), xScales, old.b)
    let c = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(c), scale.c), xScales, old.c)
    FloatRow(a, b, c).store(to: result)
    result += stride
  }
}
