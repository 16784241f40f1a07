import CIntrinsics

// What `Rounding` needs beyond arithmetic, as in the target of portable kernels.

/// The lesser of each two lanes; the second where one is NaN or both are equal.
@inline(__always)
func smaller(_ a: Floats8, _ b: Floats8) -> Floats8 { _mm256_min_ps(a, b) }

/// The larger of each two lanes; the second where one is NaN or both are equal.
@inline(__always)
func larger(_ a: Floats8, _ b: Floats8) -> Floats8 { _mm256_max_ps(a, b) }
