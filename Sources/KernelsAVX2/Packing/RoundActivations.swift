import CIntrinsics
import KernelInterface

/// See `KernelSet.roundToInt8`.
func roundToInt8(_ arguments: UnsafePointer<RoundedRow>) {
  let row = arguments.pointee
  if row.scaleWidth == 256 {
    for block in 0..<row.count / 256 { roundBlock(row, block) }
    return
  }
  for run in 0..<row.count / 32 {
    let x = Run(row.source + 32 &* run)
    row.writeBytes(of: x, run: run, dividedBy: row.writeScales(of: x, run: run, largest: 127))
  }
}

/// Quantizes 256 activations with one scale.
///
/// The one with the largest magnitude becomes −128, the code without a counterpart: steps are 0.8 %
/// finer than with 127. One of opposite sign and nearly that magnitude is clamped to 127.
@inline(__always)
private func roundBlock(_ row: RoundedRow, _ block: Int) {
  var largest = _mm256_setzero_ps()
  var least = _mm256_setzero_ps()
  var fault: Float = 0
  for run in 8 &* block..<8 &* (block &+ 1) {
    let x = Run(row.source + 32 &* run)
    largest = _mm256_max_ps(
      largest, _mm256_max_ps(_mm256_max_ps(x.a, x.b), _mm256_max_ps(x.c, x.d)))
    least = _mm256_min_ps(least, _mm256_min_ps(_mm256_min_ps(x.a, x.b), _mm256_min_ps(x.c, x.d)))
    let sums = row.writeSums(of: x, run: run)
    fault += x.fault(sums.first + sums.second)
  }
  let (top, bottom) = (largest.largest, least.least)
  let scale = (top > -bottom ? top : bottom) / -128 + fault
  row.scales[block &* row.stride] = scale
  for run in 8 &* block..<8 &* (block &+ 1) {
    row.writeBytes(of: Run(row.source + 32 &* run), run: run, dividedBy: (scale, scale))
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

  /// What makes a scale NaN if an element is not finite, which must not be lost in rounding.
  ///
  /// - Parameter sum: of the first 16, the second 16 or all elements, those that count.
  /// - Returns: NaN or zero.
  @inline(__always)
  func fault(_ sum: Float) -> Float {
    // Zero times an infinity or NaN is NaN. A finite sum has neither; one that is not finite may
    // merely have overflowed.
    if sum * 0 == 0 { return 0 }
    let zero = _mm256_setzero_ps()
    return self.sum((a * zero + b * zero) + (c * zero + d * zero))
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
    let size = scale < 0 ? -scale : scale
    return size > 0x1p-126 && size < .infinity ? 1 / scale : 0
  }
}

extension RoundedRow {
  /// Writes 32 codes of 8 bits.
  @inline(__always)
  fileprivate func writeBytes(
    of x: Run, run: Int, dividedBy scales: (first: Float, second: Float)
  ) {
    let rounded = x.codes(dividedBy: scales)
    let bytes = _mm256_packs_epi16(rounded.low, rounded.high)
    // Packing works on halves of registers; this puts the pieces in order.
    let order = SIMD8<Int32>(0, 4, 1, 5, 2, 6, 3, 7)
    let ordered = _mm256_permutevar8x32_epi32(
      bytes, unsafeBitCast(order, to: SIMD4<Int64>.self))
    let shifted = _mm256_xor_si256(ordered, _mm256_set1_epi8(-128))
    codes.storeBytes(of: shifted, toByteOffset: 32 &* run, as: SIMD4<Int64>.self)
  }

  /// Writes the sums, where they are needed, of two groups of 16 or one of 32.
  ///
  /// - Returns: the sums of the first and second 16.
  @inline(__always)
  fileprivate func writeSums(of x: Run, run: Int) -> (first: Float, second: Float) {
    let (first, second) = x.sums
    if let sums {
      if groupWidth == 32 {
        sums[run &* stride] = first + second
      } else {
        sums[2 &* run &* stride] = first
        sums[(2 &* run &+ 1) &* stride] = second
      }
    }
    return (first, second)
  }

  /// Writes the scales, and the sums where they are needed, of two groups of 16 or one of 32.
  @inline(__always)
  fileprivate func writeScales(
    of x: Run, run: Int, largest: Float
  ) -> (first: Float, second: Float) {
    let (firstSum, secondSum) = writeSums(of: x, run: run)
    let (firstPeak, secondPeak) = x.largestMagnitudes
    if groupWidth == 32 {
      let peak = secondPeak > firstPeak ? secondPeak : firstPeak
      let scale = peak / largest + x.fault(firstSum + secondSum)
      scales[run &* stride] = scale
      return (scale, scale)
    }
    let first = firstPeak / largest + x.fault(firstSum)
    let second = secondPeak / largest + x.fault(secondSum)
    scales[2 &* run &* stride] = first
    scales[(2 &* run &+ 1) &* stride] = second
    return (first, second)
  }
}
