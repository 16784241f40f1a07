// ggml's 4-bit formats with a non-linear table of levels.

/// `d f16 | 16 bytes of nibbles` in the order of Q4_0; value = d · level.
enum IQ4_NL: CodedFormat {
  static let ggmlType: UInt32 = 20
  static let elementsPerBlock = 32
  static let bytesPerBlock = 18
  static let groupWidth = 32
  static let largestCode = 127

  /// The sixteen levels, of `IQ4_XS` too (ggml `kvalues_iq4nl`).
  @inline(__always)
  static var levels: SIMD16<Int8> {
    SIMD16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
  }
  /// That of the levels, of `IQ4_XS` too.
  static let meanSquareCode: Float = 72_768.0 / 16

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    unpackLevels(block + 2, into: codes)
  }

  /// The levels of 32 elements from 16 bytes of table indices.
  @inline(__always)
  static func unpackLevels(_ packed: UnsafeRawPointer, into codes: UnsafeMutablePointer<Int8>) {
    let bytes = packed.bytes16(0)
    codes.store(lookUp(bytes & 15, in: levels), at: 0)
    codes.store(lookUp(bytes &>> 4, in: levels), at: 16)
  }
}

/// `d f16 | upper scale bits u16 | 4 bytes of lower scale nibbles | 128 bytes of nibbles`;
/// value = d · (scale − 32) · level, per 32 elements.
enum IQ4_XS: CodedFormat {
  static let ggmlType: UInt32 = 23
  static let elementsPerBlock = 256
  static let bytesPerBlock = 136
  static let groupWidth = 32
  static let largestCode = 127
  static let meanSquareCode = IQ4_NL.meanSquareCode
  static let integerScaleBits = 6

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(0)
    let upper = block.word32(0) >> 16
    for group in 0..<8 {
      let low = block.byte(4 &+ group >> 1) &>> UInt8(4 &* (group & 1)) & 15
      let high = UInt8(truncatingIfNeeded: upper &>> UInt32(2 &* group) & 3)
      scales[group] = superScale * Float(Int32(low | high << 4) &- 32)
      IQ4_NL.unpackLevels(block + (8 &+ 16 &* group), into: codes + 32 &* group)
    }
  }
}
