/// Eight numbers side by side.
typealias Floats8 = SIMD8<Float>

extension SIMD8<Float> {
  /// The magnitudes.
  @_transparent
  var magnitudes: Floats8 {
    unsafeBitCast(unsafeBitCast(self, to: SIMD8<UInt32>.self) & 0x7FFF_FFFF, to: Floats8.self)
  }

  /// The nearest integers, ties to even, of numbers within ±2^22.
  @_transparent
  var rounded: Floats8 {
    // Near 1.5 · 2^23 float32 holds integers only.
    let magic = Floats8(repeating: 12_582_912)
    return (self + magic) - magic
  }

  /// Integral values within ±2^22 converted to integers.
  @_transparent
  var integers: SIMD8<Int32> {
    let shifted = self + Floats8(repeating: 12_582_912)
    return unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- 0x4B40_0000
  }

  /// Integral values from −2^15 to 2^16 − 1 as bytes, modulo 256.
  @_transparent
  var bytes: SIMD8<UInt8> {
    lowerBytes(integers)
  }

  /// This where the mask is true, else zero.
  @_transparent
  func zero(unless mask: SIMDMask<SIMD8<Int32>>) -> Floats8 {
    Floats8(repeating: 0).replacing(with: self, where: mask)
  }

  /// The least lane.
  @_transparent
  var least: Float {
    let (a, b) = halves
    let four = b.replacing(with: a, where: a .< b)
    let (first, second) = (Swift.min(four[0], four[2]), Swift.min(four[1], four[3]))
    return Swift.min(first, second)
  }

  /// The largest lane.
  @_transparent
  var largest: Float {
    let (a, b) = halves
    let four = b.replacing(with: a, where: a .> b)
    let (first, second) = (Swift.max(four[0], four[2]), Swift.max(four[1], four[3]))
    return Swift.max(first, second)
  }

  /// The sum of the lanes.
  @_transparent
  var total: Float {
    let (a, b) = halves
    let four = a + b
    return (four[0] + four[2]) + (four[1] + four[3])
  }

  /// The first and the last four lanes.
  @_transparent
  private var halves: (SIMD4<Float>, SIMD4<Float>) {
    unsafeBitCast(self, to: (SIMD4<Float>, SIMD4<Float>).self)
  }
}

extension UnsafePointer<Float> {
  /// Eight values from an index on.
  @_transparent
  func lanes(_ index: Int) -> Floats8 {
    UnsafeRawPointer(self).loadUnaligned(fromByteOffset: 4 &* index, as: Floats8.self)
  }
}
