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
    let power = clampedExponential(value - shift)
    scores.storeBytes(of: power, toByteOffset: 4 &* index, as: SIMD8<Float>.self)
    total += power
    index &+= 8
  }
  var sum = total.sum()
  while index < row.count {
    row.scores[index] = clampedExponential(SIMD8(repeating: row.scores[index] - shift))[0]
    sum += row.scores[index]
    index &+= 1
  }
  let correction = clampedExponential(SIMD8(repeating: row.maximum - shift))[0]
  arguments.pointee.correction = correction
  arguments.pointee.sum = row.sum * correction + sum
  arguments.pointee.maximum = maximum
}
