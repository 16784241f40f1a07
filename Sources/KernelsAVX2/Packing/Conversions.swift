import CIntrinsics

// What `Layouts` needs beyond arithmetic, as in the target of block formats. Swift's own
// conversions of vectors are calls.

/// The value of a float16.
@inline(__always)
func float(half bits: UInt16) -> Float { _cvtsh_ss(bits) }

/// Eight integers as floats.
@inline(__always)
func floats(_ numbers: SIMD8<Int32>) -> SIMD8<Float> {
  _mm256_cvtepi32_ps(unsafeBitCast(numbers, to: SIMD4<Int64>.self))
}

/// Eight signed bytes as numbers.
@inline(__always)
func numbers(signed bytes: UInt64) -> SIMD8<Int32> {
  unsafeBitCast(
    _mm256_cvtepi8_epi32(SIMD2(Int64(bitPattern: bytes), 0)), to: SIMD8<Int32>.self)
}
