// Each target that compiles the folder `Layouts` has its own version of these functions.

/// The value of a float16.
@inline(__always)
func float(half bits: UInt16) -> Float { Float16Bits.float(bits) }

/// Eight integers as floats.
@inline(__always)
func floats(_ numbers: SIMD8<Int32>) -> SIMD8<Float> { SIMD8(numbers) }

/// Eight signed bytes as numbers.
@inline(__always)
func numbers(signed bytes: UInt64) -> SIMD8<Int32> {
  SIMD8(truncatingIfNeeded: unsafeBitCast(bytes, to: SIMD8<Int8>.self))
}
