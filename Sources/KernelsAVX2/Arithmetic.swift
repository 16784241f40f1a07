import CIntrinsics

/// Codes and activations of 8 bits, sums of 16 that belong together in pairs.
///
/// Products are summed in 16 bits over a whole group. Sums start at −128 times the sums of their
/// codes and may overflow on the way: what counts is that each ends as one of (activation code −
/// 128) · code over half a group, at most 127 · 512 / 2 = 32512.
enum Bytes: Arithmetic {
  static var elementsPerStep: Int { 4 }
  static var hasStarts: Bool { true }

  @inline(__always)
  static func product(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_maddubs_epi16(x, codes)
  }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_add_epi16(sums, product(x, codes))
  }

  @inline(__always)
  static func peakStep(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    product(x, codes)
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_madd_epi16(sums, _mm256_set1_epi16(1))
  }
}

/// Codes and activations of 16 bits, sums of 32.
enum Words: Arithmetic {
  static var elementsPerStep: Int { 2 }
  static var hasStarts: Bool { false }

  @inline(__always)
  static func product(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_madd_epi16(x, codes)
  }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_add_epi32(sums, product(x, codes))
  }

  @inline(__always)
  static func peakStep(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    product(x, codes)
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> { sums }
}

/// See `IntegerTile.starts`, for each half of 32 codes: two sums of 16 bits, of the first and of
/// the second two of each four codes.
@inline(__always)
func groupStarts(_ codes: SIMD4<Int64>) -> (first: Int32, second: Int32) {
  let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes)
  let fours = _mm256_add_epi16(pairs, _mm256_unpackhi_epi64(pairs, pairs))
  let sums = _mm256_add_epi16(fours, _mm256_srli_epi64(fours, 32))
  let starts = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(sums, 7))
  return (Int32(truncatingIfNeeded: starts[0]), Int32(truncatingIfNeeded: starts[2]))
}

/// The start of a group from those of its halves.
@inline(__always)
func joinStarts(_ first: Int32, _ second: Int32) -> Int32 {
  let first = unsafeBitCast(first, to: SIMD2<Int16>.self)
  let second = unsafeBitCast(second, to: SIMD2<Int16>.self)
  return unsafeBitCast(first &+ second, to: Int32.self)
}

/// The start of a group as one number; exact while each of its two stays within 16 bits.
@inline(__always)
func startTotal(_ start: Int32) -> Int32 {
  let halves = unsafeBitCast(start, to: SIMD2<Int16>.self)
  return Int32(halves[0]) &+ Int32(halves[1])
}
