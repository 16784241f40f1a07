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
  case ...8 where isNarrow: multiply(tile.pointee, chunks: 1, steps: 4, isWide: false)
  case ...8: multiply(tile.pointee, chunks: 1, steps: 8, isWide: false)
  case ...16: multiply(tile.pointee, chunks: isNarrow ? 1 : 2, steps: 4, isWide: false)
  default: multiply(tile.pointee, chunks: isNarrow ? 2 : 4, steps: 2, isWide: false)
  }
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  if tile.pointee.groupWidth == 16 {
    multiply(tile.pointee, chunks: 1, steps: 8, isWide: true)
  } else {
    multiply(tile.pointee, chunks: 1, steps: 16, isWide: true)
  }
}

/// Picks the version for as many rows as there are.
@inline(__always)
private func multiply(_ tile: IntegerTile, chunks: Int, steps: Int, isWide: Bool) {
  switch tile.rows {
  case 1: multiply(tile, rows: 1, chunks: chunks, steps: steps, isWide: isWide)
  case 2: multiply(tile, rows: 2, chunks: chunks, steps: steps, isWide: isWide)
  case 3, 4: multiply(tile, rows: 4, chunks: chunks, steps: steps, isWide: isWide)
  default: multiply(tile, rows: 6, chunks: chunks, steps: steps, isWide: isWide)
  }
}

/// All but the tile are constants wherever this is inlined.
@inline(__always)
private func multiply(_ tile: IntegerTile, rows: Int, chunks: Int, steps: Int, isWide: Bool) {
  var x = tile.activations
  var codes = tile.codes
  var scales = UnsafeRawPointer(tile.scales)
  var starts = UnsafeRawPointer(tile.starts)
  let stride = tile.resultStride
  // Groups of 16 share the activations' scale of 32 in pairs.
  let scaleShift = tile.groupWidth == 16 ? 1 : 0
  for group in 0..<tile.groups {
    var (r0, r1, r2, r3, r4, r5) = (Row(), Row(), Row(), Row(), Row(), Row())
    let start = isWide ? Row() : Row(starts)
    var (s0, s1, s2, s3, s4, s5) = (start, start, start, start, start, start)
    for _ in 0..<chunks {
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
        }
        x += 4 &* rowTile
        codes += 4 &* columnTile
      }
      s0.gather(&r0, isWide)
      if rows > 1 { s1.gather(&r1, isWide) }
      if rows > 2 {
        s2.gather(&r2, isWide)
        s3.gather(&r3, isWide)
      }
      if rows > 4 {
        s4.gather(&r4, isWide)
        s5.gather(&r5, isWide)
      }
    }
    let scale = FloatRow(scales)
    let xScales = tile.activationScales + (group &>> scaleShift) &* rowTile
    var result = tile.result
    s0.accumulate(into: &result, scale, xScales[0], stride)
    if rows > 1 { s1.accumulate(into: &result, scale, xScales[1], stride) }
    if rows > 2 {
      s2.accumulate(into: &result, scale, xScales[2], stride)
      s3.accumulate(into: &result, scale, xScales[3], stride)
    }
    if rows > 4 {
      s4.accumulate(into: &result, scale, xScales[4], stride)
      s5.accumulate(into: &result, scale, xScales[5], stride)
    }
    scales += 4 &* columnTile
    starts += 4 &* columnTile
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

  /// Moves sums to 32 bits, in which they are kept from here on, and clears them.
  @inline(__always)
  mutating func gather(_ sums: inout Row, _ isWide: Bool) {
    if isWide {
      self = sums
    } else {
      let ones = _mm256_set1_epi16(1)
      a = _mm256_add_epi32(a, _mm256_madd_epi16(sums.a, ones))
      b = _mm256_add_epi32(b, _mm256_madd_epi16(sums.b, ones))
    }
    sums = Row()
  }

  /// Adds the scaled sums to a row of the result and goes on to the next row.
  @inline(__always)
  func accumulate(
    into result: inout UnsafeMutablePointer<Float>, _ scale: FloatRow, _ xScale: Float,
    _ stride: Int
  ) {
    let xScales = _mm256_set1_ps(xScale)
    let old = FloatRow(UnsafeRawPointer(result))
    let a = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(a), scale.a), xScales, old.a)
    let b = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(b), scale.b), xScales, old.b)
    FloatRow(a, b).store(to: result)
    result += stride
  }
}
