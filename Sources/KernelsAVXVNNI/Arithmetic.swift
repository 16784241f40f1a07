import CIntrinsics

/// Codes and activations of 8 bits, sums of 32: one instruction adds four products to each.
enum Bytes: Arithmetic {
  static var elementsPerStep: Int { 4 }
  static var hasStarts: Bool { true }

  @inline(__always)
  static func product(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), x, codes)
  }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_dpbusd_avx_epi32(sums, x, codes)
  }

  @inline(__always)
  static func peakStep(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_dpbusd_avx_epi32(x, codes, codes)
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> { sums }
}

/// Codes and activations of 16 bits, sums of 32: one instruction adds two products to each.
enum Words: Arithmetic {
  static var elementsPerStep: Int { 2 }
  static var hasStarts: Bool { false }

  @inline(__always)
  static func product(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_madd_epi16(x, codes)
  }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_dpwssd_avx_epi32(sums, x, codes)
  }

  @inline(__always)
  static func peakStep(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_dpwssd_avx_epi32(x, codes, codes)
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> { sums }
}
