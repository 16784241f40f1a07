// What `Rounding` needs beyond arithmetic; each target that compiles that folder has its own
// version of these functions, with the same results.

/// The lesser of each two lanes; the second where one is NaN or both are equal.
@_transparent
func smaller(_ a: Floats8, _ b: Floats8) -> Floats8 { b.replacing(with: a, where: a .< b) }

/// The larger of each two lanes; the second where one is NaN or both are equal.
@_transparent
func larger(_ a: Floats8, _ b: Floats8) -> Floats8 { b.replacing(with: a, where: a .> b) }

/// The lower 16 bits of each lane.
@_transparent
func lowerHalves(_ lanes: SIMD8<Int32>) -> SIMD8<UInt16> {
  unsafeBitCast(lanes, to: SIMD16<UInt16>.self).evenHalf
}

/// The lower 8 bits of each lane.
@_transparent
func lowerBytes(_ lanes: SIMD8<Int32>) -> SIMD8<UInt8> {
  unsafeBitCast(lowerHalves(lanes), to: SIMD16<UInt8>.self).evenHalf
}
