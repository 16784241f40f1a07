// Elementwise functions on eight floats at once, in plain SIMD types.

/// Lanes of the loops below.
typealias Lanes = SIMD8<Float>

extension UnsafeMutablePointer<Float> {
  /// Eight consecutive elements, of any alignment.
  @inline(__always)
  func lanes(_ index: Int) -> Lanes {
    UnsafeRawPointer(self + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  func store(_ value: Lanes, _ index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(of: value, as: Lanes.self)
  }
}

extension UnsafePointer<Float> {
  @inline(__always)
  func lanes(_ index: Int) -> Lanes {
    UnsafeRawPointer(self + index).loadUnaligned(as: Lanes.self)
  }
}

/// e to the power of each lane, within 2 units in the last place.
///
/// Range reduction to ±ln(2)/2 and a polynomial of degree 7 (Cephes `expf`). Results that would be
/// subnormal or infinite are clamped to the nearest normal value.
@inline(__always)
func exponential(_ x: Lanes) -> Lanes {
  let clamped = x.replacing(with: -87.33, where: x .< -87.33)
    .replacing(with: 88.37, where: x .> 88.37)
  // Adding 1.5 · 2^23 leaves the nearest integer in the low mantissa bits.
  let magic = Lanes(repeating: 12_582_912)
  let shifted = clamped * 1.442_695_04 + magic
  let n = shifted - magic
  let r = clamped - n * 0.693_359_375 + n * 2.121_944_4e-4
  var polynomial = Lanes(repeating: 1.987_569_15e-4)
  polynomial = polynomial * r + 1.398_199_950_7e-3
  polynomial = polynomial * r + 8.333_451_907_3e-3
  polynomial = polynomial * r + 4.166_579_589_4e-2
  polynomial = polynomial * r + 1.666_666_545_9e-1
  polynomial = polynomial * r + 5.000_000_120_1e-1
  let mantissa = polynomial * r * r + r + 1
  let exponent = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23
  let result = unsafeBitCast(
    unsafeBitCast(mantissa, to: SIMD8<UInt32>.self) &+ exponent, to: Lanes.self)
  // Adding to the exponent could turn a NaN into a number.
  return result.replacing(with: x, where: x .!= x)
}

/// `x · σ(x)`.
@inline(__always)
func silu(_ x: Lanes) -> Lanes { x / (1 + exponential(-x)) }

/// GELU with the tanh approximation: `x · σ(2 √(2/π) (x + 0.044715 x³))`.
@inline(__always)
func geluTanh(_ x: Lanes) -> Lanes {
  let inner = x + 0.044_715 * x * x * x
  return x / (1 + exponential(-1.595_769_121_6 * inner))
}

/// Applies a function to `count` elements of up to two inputs.
@inline(__always)
func mapLanes(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>,
  count: Int, _ function: (Lanes, Lanes) -> Lanes
) {
  var index = 0
  while index &+ 8 <= count {
    result.store(function(a.lanes(index), b.lanes(index)), index)
    index &+= 8
  }
  guard index < count else { return }
  // The last elements go through the same lanes, so that position does not change a value.
  var left = Lanes(repeating: 0)
  var right = Lanes(repeating: 0)
  for lane in 0..<count &- index {
    left[lane] = a[index &+ lane]
    right[lane] = b[index &+ lane]
  }
  let value = function(left, right)
  for lane in 0..<count &- index { result[index &+ lane] = value[lane] }
}

/// Folds `count` elements into a sum of function values.
@inline(__always)
func sumLanes(
  _ values: UnsafePointer<Float>, count: Int, _ function: (Lanes) -> Lanes
) -> Float {
  var total = Lanes(repeating: 0)
  var index = 0
  while index &+ 8 <= count {
    total += function(values.lanes(index))
    index &+= 8
  }
  var sum = total.sum()
  while index < count {
    sum += function(Lanes(repeating: values[index]))[0]
    index &+= 1
  }
  return sum
}
