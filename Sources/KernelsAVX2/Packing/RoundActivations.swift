import CIntrinsics
import KernelInterface

/// See `KernelSet.roundToInt8`.
func roundToInt8(_ arguments: UnsafePointer<RoundedRow>) {
  let row = arguments.pointee
  for run in 0..<row.count / 32 {
    let x = Run(row.source + 32 &* run)
    let codes = x.codes(dividedBy: row.writeScales(of: x, run: run, largest: 127))
    let bytes = _mm256_packs_epi16(codes.low, codes.high)
    // Packing works on halves of registers; this puts the pieces in order.
    let order = SIMD8<Int32>(0, 4, 1, 5, 2, 6, 3, 7)
    let ordered = _mm256_permutevar8x32_epi32(
      bytes, unsafeBitCast(order, to: SIMD4<Int64>.self))
    let shifted = _mm256_xor_si256(ordered, _mm256_set1_epi8(-128))
    row.codes.storeBytes(of: shifted, toByteOffset: 32 &* run, as: SIMD4<Int64>.self)
  }
}

/// See `KernelSet.roundToInt16`.
func roundToInt16(_ arguments: UnsafePointer<RoundedRow>) {
  let row = arguments.pointee
  for run in 0..<row.count / 32 {
    let x = Run(row.source + 32 &* run)
    let codes = x.codes(dividedBy: row.writeScales(of: x, run: run, largest: 32767))
    // Packing works on halves of registers; this puts the pieces in order.
    let order = unsafeBitCast(SIMD8<Int32>(0, 1, 4, 5, 2, 3, 6, 7), to: SIMD4<Int64>.self)
    let low = _mm256_permutevar8x32_epi32(codes.low, order)
    let high = _mm256_permutevar8x32_epi32(codes.high, order)
    row.codes.storeBytes(of: low, toByteOffset: 64 &* run, as: SIMD4<Int64>.self)
    row.codes.storeBytes(of: high, toByteOffset: 64 &* run &+ 32, as: SIMD4<Int64>.self)
  }
}

/// 32 activations: two groups of 16, or one.
private struct Run {
  let a, b, c, d: SIMD8<Float>

  @inline(__always)
  init(_ source: UnsafePointer<Float>) {
    let source = UnsafeRawPointer(source)
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD8<Float>.self)
    b = source.loadUnaligned(fromByteOffset: 32, as: SIMD8<Float>.self)
    c = source.loadUnaligned(fromByteOffset: 64, as: SIMD8<Float>.self)
    d = source.loadUnaligned(fromByteOffset: 96, as: SIMD8<Float>.self)
  }

  /// The largest magnitudes of the first and second 16 elements.
  @inline(__always)
  var largestMagnitudes: (first: Float, second: Float) {
    (largestMagnitude(a, b), largestMagnitude(c, d))
  }

  @inline(__always)
  private func largestMagnitude(_ x: SIMD8<Float>, _ y: SIMD8<Float>) -> Float {
    let sign = _mm256_set1_ps(-0.0)
    let all = _mm256_max_ps(_mm256_andnot_ps(sign, x), _mm256_andnot_ps(sign, y))
    let four = _mm_max_ps(all.lowHalf, all.highHalf)
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four))
    return two[1] > two[0] ? two[1] : two[0]
  }

  /// Sums of the first and second 16 elements.
  @inline(__always)
  var sums: (first: Float, second: Float) { (sum(a + b), sum(c + d)) }

  @inline(__always)
  private func sum(_ lanes: SIMD8<Float>) -> Float {
    let four = lanes.lowHalf + lanes.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }

  /// Rounded quotients as 16-bit integers, in the order in which packing leaves them.
  @inline(__always)
  func codes(
    dividedBy scales: (first: Float, second: Float)
  ) -> (low: SIMD4<Int64>, high: SIMD4<Int64>) {
    let first = _mm256_set1_ps(inverse(scales.first))
    let second = _mm256_set1_ps(inverse(scales.second))
    let low = _mm256_packs_epi32(
      _mm256_cvtps_epi32(_mm256_mul_ps(a, first)), _mm256_cvtps_epi32(_mm256_mul_ps(b, first)))
    let high = _mm256_packs_epi32(
      _mm256_cvtps_epi32(_mm256_mul_ps(c, second)), _mm256_cvtps_epi32(_mm256_mul_ps(d, second)))
    return (low, high)
  }

  /// 0, so that all codes become 0, for scales that are not finite or so small that their inverse
  /// would overflow.
  @inline(__always)
  private func inverse(_ scale: Float) -> Float {
    scale > 0x1p-126 && scale < .infinity ? 1 / scale : 0
  }
}

extension RoundedRow {
  /// Writes the scales, and the sums where they are wanted, of two groups of 16 or one of 32.
  @inline(__always)
  fileprivate func writeScales(
    of x: Run, run: Int, largest: Float
  ) -> (first: Float, second: Float) {
    let (firstSum, secondSum) = x.sums
    let (firstPeak, secondPeak) = x.largestMagnitudes
    // Zero times an infinity or NaN is NaN, which must not be lost in rounding.
    if groupWidth == 32 {
      let total = firstSum + secondSum
      let peak = secondPeak > firstPeak ? secondPeak : firstPeak
      let scale = peak / largest + total * 0
      scales[run &* stride] = scale
      if let sums { sums[run &* stride] = total }
      return (scale, scale)
    }
    let first = firstPeak / largest + firstSum * 0
    let second = secondPeak / largest + secondSum * 0
    let index = 2 &* run &* stride
    scales[index] = first
    scales[index &+ stride] = second
    if let sums {
      sums[index] = firstSum
      sums[index &+ stride] = secondSum
    }
    return (first, second)
  }
}
