import KernelInterface

/// See `KernelSet.continueSoftmax`.
func continueSoftmax(_ arguments: UnsafeMutablePointer<SoftmaxRow>) {
  let row = arguments.pointee
  var maximum = row.maximum
  for index in 0..<row.count {
    row.scores[index] *= row.scale
    maximum = row.scores[index] > maximum ? row.scores[index] : maximum
  }
  // As long as there are only scores of −∞, keep ∞ − ∞ out of the arithmetic.
  let shift = maximum == -.infinity ? 0 : maximum
  let scores = UnsafeMutableRawPointer(row.scores)
  var total = SIMD8<Float>(repeating: 0)
  var index = 0
  while index &+ 8 <= row.count {
    let value = scores.loadUnaligned(fromByteOffset: 4 &* index, as: SIMD8<Float>.self)
    let power = exponential(value - shift)
    scores.storeBytes(of: power, toByteOffset: 4 &* index, as: SIMD8<Float>.self)
    total += power
    index &+= 8
  }
  var sum = total.sum()
  while index < row.count {
    row.scores[index] = exponential(SIMD8(repeating: row.scores[index] - shift))[0]
    sum += row.scores[index]
    index &+= 1
  }
  let correction = exponential(SIMD8(repeating: row.maximum - shift))[0]
  arguments.pointee.correction = correction
  arguments.pointee.sum = row.sum * correction + sum
  arguments.pointee.maximum = maximum
}

/// e to the power of each lane, within 2 units in the last place; arguments below −87.33 count as
/// −87.33.
///
/// Range reduction to ±ln(2)/2 and a polynomial of degree 7 (Cephes `expf`). Arguments are at most
/// 0 here; a NaN stays one.
@inline(__always)
private func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
  let clamped = x.replacing(with: -87.33, where: x .< -87.33)
  // Adding 1.5 · 2^23 leaves the nearest integer in the low mantissa bits.
  let magic = SIMD8<Float>(repeating: 12_582_912)
  let shifted = clamped * 1.442_695_04 + magic
  let n = shifted - magic
  let r = clamped - n * 0.693_359_375 + n * 2.121_944_4e-4
  var polynomial = SIMD8<Float>(repeating: 1.987_569_15e-4)
  polynomial = polynomial * r + 1.398_199_950_7e-3
  polynomial = polynomial * r + 8.333_451_907_3e-3
  polynomial = polynomial * r + 4.166_579_589_4e-2
  polynomial = polynomial * r + 1.666_666_545_9e-1
  polynomial = polynomial * r + 5.000_000_120_1e-1
  let mantissa = polynomial * r * r + r + 1
  let exponent = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23
  let power = unsafeBitCast(mantissa, to: SIMD8<UInt32>.self) &+ exponent
  // Adding to the exponent could turn a NaN into a number.
  return unsafeBitCast(power, to: SIMD8<Float>.self) + (clamped - clamped)
}
