/// Eight numbers side by side.
typealias Floats8 = SIMD8<Float>

extension SIMD8<Float> {
  /// The magnitudes.
  @inline(__always)
  var magnitudes: Floats8 {
    unsafeBitCast(unsafeBitCast(self, to: SIMD8<UInt32>.self) & 0x7FFF_FFFF, to: Floats8.self)
  }

  /// The nearest whole numbers, even ones in the middle, of numbers within ±2^22.
  @inline(__always)
  var rounded: Floats8 {
    // Near 1.5 · 2^23 float32 holds whole numbers only.
    let magic = Floats8(repeating: 12_582_912)
    return (self + magic) - magic
  }

  /// Whole numbers within ±2^22 as integers.
  @inline(__always)
  var integers: SIMD8<Int32> {
    let shifted = self + Floats8(repeating: 12_582_912)
    return unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- 0x4B40_0000
  }

  /// This where the mask is true, else zero.
  @inline(__always)
  func zero(unless mask: SIMDMask<SIMD8<Int32>>) -> Floats8 {
    Floats8(repeating: 0).replacing(with: self, where: mask)
  }

  /// The least lane.
  @inline(__always)
  var least: Float {
    let four = smaller(lowHalf, highHalf)
    let two = smaller(four.lowHalf, four.highHalf)
    return two[0] < two[1] ? two[0] : two[1]
  }

  /// The largest lane.
  @inline(__always)
  var largest: Float {
    let four = larger(lowHalf, highHalf)
    let two = larger(four.lowHalf, four.highHalf)
    return two[0] > two[1] ? two[0] : two[1]
  }

  /// The sum of the lanes.
  @inline(__always)
  var total: Float {
    let four = lowHalf + highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }

  @inline(__always)
  private func smaller(_ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    b.replacing(with: a, where: a .< b)
  }

  @inline(__always)
  private func smaller(_ a: SIMD2<Float>, _ b: SIMD2<Float>) -> SIMD2<Float> {
    b.replacing(with: a, where: a .< b)
  }

  @inline(__always)
  private func larger(_ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    b.replacing(with: a, where: a .> b)
  }

  @inline(__always)
  private func larger(_ a: SIMD2<Float>, _ b: SIMD2<Float>) -> SIMD2<Float> {
    b.replacing(with: a, where: a .> b)
  }
}

extension UnsafePointer<Float> {
  /// Eight values from an index on.
  @inline(__always)
  func lanes(_ index: Int) -> Floats8 {
    UnsafeRawPointer(self).loadUnaligned(fromByteOffset: 4 &* index, as: Floats8.self)
  }
}
