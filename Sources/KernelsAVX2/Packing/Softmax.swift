import CIntrinsics
import KernelInterface

private typealias Lanes = SIMD8<Float>

/// See `KernelSet.continueSoftmax`.
func continueSoftmax(_ arguments: UnsafeMutablePointer<SoftmaxRow>) {
  let row = arguments.pointee
  let scores = UnsafeMutableRawPointer(row.scores)
  let whole = row.count & ~7
  let scale = _mm256_set1_ps(row.scale)
  var largest = _mm256_set1_ps(row.maximum)
  var index = 0
  while index < whole {
    let scaled = _mm256_mul_ps(load(scores, index), scale)
    largest = _mm256_max_ps(largest, scaled)
    store(scaled, scores, index)
    index &+= 8
  }
  var maximum = largestLane(largest)
  while index < row.count {
    row.scores[index] *= row.scale
    maximum = row.scores[index] > maximum ? row.scores[index] : maximum
    index &+= 1
  }
  // As long as there are only scores of −∞, keep ∞ − ∞ out of the arithmetic.
  let shift = maximum == -.infinity ? 0 : maximum
  let sum = exponentials(scores, count: row.count, shift: shift)
  let correction = exponential(_mm256_set1_ps(row.maximum - shift))[0]
  arguments.pointee.correction = correction
  arguments.pointee.sum = row.sum * correction + sum
  arguments.pointee.maximum = maximum
}

/// Replaces each score by `exp(score − shift)` and returns the sum.
@inline(__always)
private func exponentials(
  _ scores: UnsafeMutableRawPointer, count: Int, shift: Float
) -> Float {
  let shifts = _mm256_set1_ps(shift)
  var total = _mm256_setzero_ps()
  var index = 0
  while index &+ 8 <= count {
    let power = exponential(_mm256_sub_ps(load(scores, index), shifts))
    store(power, scores, index)
    total = _mm256_add_ps(total, power)
    index &+= 8
  }
  let four = total.lowHalf + total.highHalf
  let two = four.lowHalf + four.highHalf
  var sum = two[0] + two[1]
  while index < count {
    let value = scores.load(fromByteOffset: 4 &* index, as: Float.self)
    let power = exponential(_mm256_set1_ps(value - shift))[0]
    scores.storeBytes(of: power, toByteOffset: 4 &* index, as: Float.self)
    sum += power
    index &+= 1
  }
  return sum
}

/// e to the power of each lane, within 2 units in the last place; arguments below −87.33
/// count as −87.33.
///
/// Range reduction to ±ln(2)/2 and a polynomial of degree 7 (Cephes `expf`). Arguments are at most
/// 0 here; a NaN stays one.
@inline(__always)
private func exponential(_ x: Lanes) -> Lanes {
  // The second operand comes back where either is NaN.
  let clamped = _mm256_max_ps(_mm256_set1_ps(-87.33), x)
  // Adding 1.5 · 2^23 leaves the nearest integer in the low mantissa bits.
  let magic = _mm256_set1_ps(12_582_912)
  let shifted = _mm256_fmadd_ps(clamped, _mm256_set1_ps(1.442_695_04), magic)
  let n = _mm256_sub_ps(shifted, magic)
  var r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693_359_375), clamped)
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.121_944_4e-4), r)
  var polynomial = _mm256_set1_ps(1.987_569_15e-4)
  polynomial = _mm256_fmadd_ps(polynomial, r, _mm256_set1_ps(1.398_199_950_7e-3))
  polynomial = _mm256_fmadd_ps(polynomial, r, _mm256_set1_ps(8.333_451_907_3e-3))
  polynomial = _mm256_fmadd_ps(polynomial, r, _mm256_set1_ps(4.166_579_589_4e-2))
  polynomial = _mm256_fmadd_ps(polynomial, r, _mm256_set1_ps(1.666_666_545_9e-1))
  polynomial = _mm256_fmadd_ps(polynomial, r, _mm256_set1_ps(5.000_000_120_1e-1))
  let square = _mm256_mul_ps(r, r)
  let mantissa = _mm256_fmadd_ps(polynomial, square, _mm256_add_ps(r, _mm256_set1_ps(1)))
  let exponent = _mm256_slli_epi32(unsafeBitCast(shifted, to: SIMD4<Int64>.self), 23)
  let power = _mm256_add_epi32(unsafeBitCast(mantissa, to: SIMD4<Int64>.self), exponent)
  // Adding to the exponent could turn a NaN into a number.
  return _mm256_add_ps(unsafeBitCast(power, to: Lanes.self), _mm256_sub_ps(clamped, clamped))
}

@inline(__always)
private func load(_ source: UnsafeMutableRawPointer, _ index: Int) -> Lanes {
  source.loadUnaligned(fromByteOffset: 4 &* index, as: Lanes.self)
}

@inline(__always)
private func store(_ value: Lanes, _ destination: UnsafeMutableRawPointer, _ index: Int) {
  destination.storeBytes(of: value, toByteOffset: 4 &* index, as: Lanes.self)
}

@inline(__always)
private func largestLane(_ lanes: Lanes) -> Float {
  let four = _mm_max_ps(lanes.lowHalf, lanes.highHalf)
  let two = _mm_max_ps(four, _mm_movehl_ps(four, four))
  return two[1] > two[0] ? two[1] : two[0]
}
