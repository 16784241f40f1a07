import CIntrinsics
import KernelInterface

/// See `KernelSet.roundToInt8`.
func roundToInt8(_ arguments: UnsafePointer<RoundedRow>) {
  let row = arguments.pointee
  for group in 0..<row.count / 32 {
    let x = Group(row.source + 32 &* group)
    let scale = row.writeScale(of: x, group: group, largest: 127)
    let codes = x.codes(dividedBy: scale, largest: 127)
    let bytes = _mm256_packs_epi16(codes.low, codes.high)
    // Packing works on halves of registers; this puts the pieces in order.
    let order = SIMD8<Int32>(0, 4, 1, 5, 2, 6, 3, 7)
    let ordered = _mm256_permutevar8x32_epi32(
      bytes, unsafeBitCast(order, to: SIMD4<Int64>.self))
    let shifted = _mm256_xor_si256(ordered, _mm256_set1_epi8(-128))
    row.codes.storeBytes(of: shifted, toByteOffset: 32 &* group, as: SIMD4<Int64>.self)
  }
}

/// See `KernelSet.roundToInt16`.
func roundToInt16(_ arguments: UnsafePointer<RoundedRow>) {
  let row = arguments.pointee
  for group in 0..<row.count / 32 {
    let x = Group(row.source + 32 &* group)
    let scale = row.writeScale(of: x, group: group, largest: 32767)
    let codes = x.codes(dividedBy: scale, largest: 32767)
    let order: Int32 = 0b11_01_10_00
    let low = _mm256_permutevar8x32_epi32(codes.low, pieces(order))
    let high = _mm256_permutevar8x32_epi32(codes.high, pieces(order))
    row.codes.storeBytes(of: low, toByteOffset: 64 &* group, as: SIMD4<Int64>.self)
    row.codes.storeBytes(of: high, toByteOffset: 64 &* group &+ 32, as: SIMD4<Int64>.self)
  }
}

/// Indices that move 8-byte pieces as the two-bit fields of `order` say.
@inline(__always)
private func pieces(_ order: Int32) -> SIMD4<Int64> {
  let (a, b) = (order & 3, order >> 2 & 3)
  let (c, d) = (order >> 4 & 3, order >> 6 & 3)
  let indices = SIMD8<Int32>(
    2 &* a, 2 &* a &+ 1, 2 &* b, 2 &* b &+ 1, 2 &* c, 2 &* c &+ 1, 2 &* d, 2 &* d &+ 1)
  return unsafeBitCast(indices, to: SIMD4<Int64>.self)
}

/// 32 activations.
private struct Group {
  let a, b, c, d: SIMD8<Float>

  @inline(__always)
  init(_ source: UnsafePointer<Float>) {
    let source = UnsafeRawPointer(source)
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD8<Float>.self)
    b = source.loadUnaligned(fromByteOffset: 32, as: SIMD8<Float>.self)
    c = source.loadUnaligned(fromByteOffset: 64, as: SIMD8<Float>.self)
    d = source.loadUnaligned(fromByteOffset: 96, as: SIMD8<Float>.self)
  }

  @inline(__always)
  var largestMagnitude: Float {
    let sign = _mm256_set1_ps(-0.0)
    let ab = _mm256_max_ps(_mm256_andnot_ps(sign, a), _mm256_andnot_ps(sign, b))
    let cd = _mm256_max_ps(_mm256_andnot_ps(sign, c), _mm256_andnot_ps(sign, d))
    let all = _mm256_max_ps(ab, cd)
    let four = _mm_max_ps(all.lowHalf, all.highHalf)
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four))
    return max(two[0], two[1])
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
    dividedBy scale: Float, largest: Float
  ) -> (low: SIMD4<Int64>, high: SIMD4<Int64>) {
    // A scale so small that its inverse overflows stands for zeros.
    let inverse = scale > 0x1p-126 && scale < .infinity ? 1 / scale : 0
    let factor = _mm256_set1_ps(inverse)
    let low = _mm256_packs_epi32(
      _mm256_cvtps_epi32(_mm256_mul_ps(a, factor)), _mm256_cvtps_epi32(_mm256_mul_ps(b, factor)))
    let high = _mm256_packs_epi32(
      _mm256_cvtps_epi32(_mm256_mul_ps(c, factor)), _mm256_cvtps_epi32(_mm256_mul_ps(d, factor)))
    return (low, high)
  }
}

extension RoundedRow {
  /// Writes a group's scale, and its sums where they are wanted.
  @inline(__always)
  fileprivate func writeScale(of x: Group, group: Int, largest: Float) -> Float {
    let (first, second) = x.sums
    let total = first + second
    // Zero times an infinity or NaN is NaN, which must not be lost in rounding.
    let scale = x.largestMagnitude / largest + total * 0
    scales[group &* stride] = scale
    if sumWidth == 32 {
      sums[group &* stride] = total
    } else if sumWidth == 16 {
      sums[2 &* group &* stride] = first
      sums[(2 &* group &+ 1) &* stride] = second
    }
    return scale
  }
}
