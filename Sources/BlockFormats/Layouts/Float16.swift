/// IEEE 754 binary16, converted with integer arithmetic: a baseline x86-64 has no instruction for
/// it, and the compiler's fallback is a call for each element.
package enum Float16Bits {
  /// The value of a bit pattern; NaNs keep their payload.
  @inline(__always)
  package static func float(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF)
    if magnitude >= 0x7C00 { return Float(bitPattern: sign | 0x7F80_0000 | magnitude << 13) }
    if magnitude < 0x0400 {
      // Subnormal: an integer multiple of 2^-24.
      return Float(bitPattern: sign | (Float(magnitude) * 0x1p-24).bitPattern)
    }
    return Float(bitPattern: sign | (magnitude << 13 &+ 112 << 23))
  }

  /// Decodes `count` elements stored little-endian at any alignment.
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    var index = 0
    while index &+ 8 <= count {
      let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: SIMD8<UInt16>.self)
      UnsafeMutableRawPointer(values + index).storeBytes(of: floats(bits), as: SIMD8<Float>.self)
      index &+= 8
    }
    while index < count {
      values[index] = source.half(index &* 2)
      index &+= 1
    }
  }

  /// Eight values at once, without branches.
  ///
  /// The bits moved into float32's place mean 2^-112 times the value, subnormal ones included.
  @inline(__always)
  private static func floats(_ bits: SIMD8<UInt16>) -> SIMD8<Float> {
    let wide = SIMD8<UInt32>(truncatingIfNeeded: bits)
    let magnitude = (wide & 0x7FFF) &<< 13
    let scaled = unsafeBitCast(magnitude, to: SIMD8<Float>.self) * 0x1p112
    // Infinity and NaN came out as 2^16 and more: give them the largest exponent again. (In
    // arithmetic, because comparisons of unsigned lanes compile to a loop over lanes.)
    let isSpecial = ((wide & 0x7FFF) &+ 0x0400) &>> 15
    let pattern =
      unsafeBitCast(scaled, to: SIMD8<UInt32>.self) | ((0 &- isSpecial) & 0x7F80_0000)
    return unsafeBitCast(pattern | ((wide & 0x8000) &<< 16), to: SIMD8<Float>.self)
  }
}

/// bfloat16: the upper half of a float32.
package enum BFloat16Bits {
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    for index in 0..<count {
      let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)
      values[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
    }
  }
}
