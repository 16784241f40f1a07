import CIntrinsics

// What `Rounding` needs beyond arithmetic, as in the target of portable kernels.

/// The lesser of each two lanes; the second where one is NaN or both are equal.
@_transparent
func smaller(_ a: Floats8, _ b: Floats8) -> Floats8 { _mm256_min_ps(a, b) }

/// The larger of each two lanes; the second where one is NaN or both are equal.
@_transparent
func larger(_ a: Floats8, _ b: Floats8) -> Floats8 { _mm256_max_ps(a, b) }

/// The lower 16 bits of each lane.
@_transparent
func lowerHalves(_ lanes: SIMD8<Int32>) -> SIMD8<UInt16> {
  // Two bytes of every four to the front of each half of the register.
  let pattern: UInt64 = 0x0D0C_0908_0504_0100
  let order = SIMD4<UInt64>(pattern, .max, pattern, .max)
  let packed = _mm256_shuffle_epi8(
    unsafeBitCast(lanes, to: SIMD4<Int64>.self), unsafeBitCast(order, to: SIMD4<Int64>.self))
  return unsafeBitCast(SIMD2<Int64>(packed[0], packed[2]), to: SIMD8<UInt16>.self)
}

/// The lower 8 bits of each lane.
@_transparent
func lowerBytes(_ lanes: SIMD8<Int32>) -> SIMD8<UInt8> {
  let pattern: UInt64 = 0xFFFF_FFFF_0C08_0400
  let order = SIMD4<UInt64>(pattern, .max, pattern, .max)
  let packed = _mm256_shuffle_epi8(
    unsafeBitCast(lanes, to: SIMD4<Int64>.self), unsafeBitCast(order, to: SIMD4<Int64>.self))
  let words = unsafeBitCast(packed, to: SIMD8<UInt32>.self)
  return unsafeBitCast(UInt64(words[0]) | UInt64(words[4]) << 32, to: SIMD8<UInt8>.self)
}
