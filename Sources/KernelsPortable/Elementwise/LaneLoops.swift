extension UnsafeMutablePointer<Float> {
  /// Writes eight values from an index on.
  @_transparent
  func store(_ value: Floats8, _ index: Int) {
    UnsafeMutableRawPointer(self).storeBytes(
      of: value, toByteOffset: 4 &* index, as: Floats8.self)
  }
}

/// Writes a function of three inputs, eight of `count` elements at once.
///
/// The last elements go through the same lanes, so that position does not change a value.
@inline(__always)
func mapLanes(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>,
  into result: UnsafeMutablePointer<Float>, count: Int,
  _ function: (Floats8, Floats8, Floats8) -> Floats8
) {
  var index = 0
  while index &+ 8 <= count {
    result.store(function(a.lanes(index), b.lanes(index), c.lanes(index)), index)
    index &+= 8
  }
  guard index < count else { return }
  var (x, y, z) = (Floats8(repeating: 0), Floats8(repeating: 0), Floats8(repeating: 0))
  for lane in 0..<count &- index {
    x[lane] = a[index &+ lane]
    y[lane] = b[index &+ lane]
    z[lane] = c[index &+ lane]
  }
  let value = function(x, y, z)
  for lane in 0..<count &- index { result[index &+ lane] = value[lane] }
}

/// Sums of two functions of `count` elements, in independent chains.
@inline(__always)
func sumLanes(
  _ values: UnsafePointer<Float>, count: Int, _ function: (Floats8) -> (Floats8, Floats8)
) -> (Float, Float) {
  var even = (Floats8(repeating: 0), Floats8(repeating: 0))
  var odd = even
  var index = 0
  while index &+ 16 <= count {
    let (a, b) = (function(values.lanes(index)), function(values.lanes(index &+ 8)))
    even.0 += a.0
    even.1 += a.1
    odd.0 += b.0
    odd.1 += b.1
    index &+= 16
  }
  var sums = ((even.0 + odd.0).total, (even.1 + odd.1).total)
  while index < count {
    let value = function(Floats8(repeating: values[index]))
    sums.0 += value.0[0]
    sums.1 += value.1[0]
    index &+= 1
  }
  return sums
}

/// e to the power of each lane, within 2 units in the last place.
///
/// Range reduction to ±ln(2)/2 and a polynomial of degree 7 (Cephes `expf`). Arguments
/// beyond −87.33 and 88.37 count as these, so that results are normal; NaN stays NaN.
@inline(__always)
func clampedExponential(_ x: Floats8) -> Floats8 {
  let clamped = x.replacing(with: -87.33, where: x .< -87.33)
    .replacing(with: 88.37, where: x .> 88.37)
  // Adding 1.5 · 2^23 leaves the nearest integer in the low mantissa bits.
  let magic = Floats8(repeating: 12_582_912)
  let shifted = clamped * 1.442_695_04 + magic
  let n = shifted - magic
  let r = clamped - n * 0.693_359_375 + n * 2.121_944_4e-4
  var polynomial = Floats8(repeating: 1.987_569_15e-4)
  polynomial = polynomial * r + 1.398_199_950_7e-3
  polynomial = polynomial * r + 8.333_451_907_3e-3
  polynomial = polynomial * r + 4.166_579_589_4e-2
  polynomial = polynomial * r + 1.666_666_545_9e-1
  polynomial = polynomial * r + 5.000_000_120_1e-1
  let mantissa = polynomial * r * r + r + 1
  let exponent = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23
  let result = unsafeBitCast(
    unsafeBitCast(mantissa, to: SIMD8<UInt32>.self) &+ exponent, to: Floats8.self)
  // Adding to the exponent could turn a NaN into a number.
  return result.replacing(with: x, where: x .!= x)
}

/// `x · σ(x)`.
@inline(__always)
func silu(_ x: Floats8) -> Floats8 { x / (1 + clampedExponential(-x)) }
