// What `Rounding` needs beyond arithmetic; each target that compiles that folder has its own version
// of these functions, with the same results.

/// The lesser of each two lanes; the second where one is NaN or both are equal.
@inline(__always)
func smaller(_ a: Floats8, _ b: Floats8) -> Floats8 { b.replacing(with: a, where: a .< b) }

/// The larger of each two lanes; the second where one is NaN or both are equal.
@inline(__always)
func larger(_ a: Floats8, _ b: Floats8) -> Floats8 { b.replacing(with: a, where: a .> b) }
