import BlockFormats

/// Rounds to binary16, ties to even; magnitudes from 65520 become infinite.
func roundToFloat16(
  _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer
) {
  var index = 0
  while index &+ 8 <= count {
    blocks.storeBytes(
      of: float16Bits(values.lanes(index)), toByteOffset: 2 &* index, as: SIMD8<UInt16>.self)
    index &+= 8
  }
  while index < count {
    let half = float16Bits(Floats8(repeating: values[index]))[0]
    blocks.storeBytes(of: half.littleEndian, toByteOffset: 2 &* index, as: UInt16.self)
    index &+= 1
  }
}

/// Rounds to bfloat16, ties to even; NaNs become quiet.
func roundToBFloat16(
  _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer
) {
  for index in 0..<count {
    var bits = values[index].bitPattern
    if bits & 0x7FFF_FFFF > 0x7F80_0000 {
      bits = bits & 0xFFFF_0000 | 0x0040_0000
    } else {
      bits = bits &+ (0x7FFF &+ (bits &>> 16 & 1))
    }
    let upper = UInt16(truncatingIfNeeded: bits &>> 16)
    blocks.storeBytes(of: upper.littleEndian, toByteOffset: 2 &* index, as: UInt16.self)
  }
}

/// The nearest binary16 of each lane.
@_transparent
func float16Bits(_ values: Floats8) -> SIMD8<UInt16> {
  let bits = unsafeBitCast(values, to: SIMD8<Int32>.self)
  let magnitude = bits & 0x7FFF_FFFF
  // Normal numbers: round at the 13 bits that go, then move the exponent.
  let odd = magnitude &>> 13 & 1
  let normal = (magnitude &+ (0x0FFF &- 112 &<< 23) &+ odd) &>> 13
  // Below 2^-14: adding 0.5 leaves multiples of 2^-24 in the mantissa.
  let shifted = unsafeBitCast(magnitude, to: Floats8.self) + 0.5
  let subnormal = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- 0x3F00_0000
  // Masks from signs, because comparisons of integer lanes compile to a loop over lanes.
  let isSubnormal = (magnitude &- 0x3880_0000) &>> 31
  let isInfinite = (0x477F_EFFF &- magnitude) &>> 31
  let isNaN = (0x7F80_0000 &- magnitude) &>> 31
  // The upper payload of NaNs stays, and is not to become that of infinity.
  let payload = magnitude &>> 13 & 0x3FF
  let quiet = 1 &+ ((0 &- payload) &>> 31)
  let finite = (subnormal & isSubnormal) | (normal & ~isSubnormal & ~isInfinite)
  let special = isInfinite & (0x7C00 | (isNaN & (payload | quiet)))
  let sign = bits &>> 16 & 0x8000
  return lowerHalves(finite | special | sign)
}

/// The nearest binary16, with quiet NaNs.
@_transparent
func float16Bits(_ value: Float) -> UInt16 {
  let sign = UInt16(truncatingIfNeeded: value.bitPattern &>> 16) & 0x8000
  let magnitude = value.bitPattern & 0x7FFF_FFFF
  if magnitude >= 0x477F_F000 { return sign | (magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00) }
  if magnitude < 0x3880_0000 {
    let shifted = (Float(bitPattern: magnitude) + 0.5).bitPattern
    return sign | UInt16(truncatingIfNeeded: shifted &- 0x3F00_0000)
  }
  let rounded = magnitude &- (112 &<< 23) &+ 0x0FFF &+ (magnitude &>> 13 & 1)
  return sign | UInt16(truncatingIfNeeded: rounded &>> 13)
}

/// Writes the nearest binary16, little-endian.
@_transparent
func storeHalf(_ value: Float, _ target: UnsafeMutableRawPointer, at offset: Int) {
  target.storeBytes(
    of: float16Bits(value).littleEndian, toByteOffset: offset, as: UInt16.self)
}
