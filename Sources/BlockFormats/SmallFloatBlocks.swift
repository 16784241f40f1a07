// Blocks of 4-bit floats (E2M1) with scales that are small floats themselves. They are only
// dequantized (see GridBlocks.swift).

/// `e | 16 bytes of nibbles` in the order of Q4_0; value = 2^(e − 128) · level.
///
/// As in ggml, the largest e is one power of two more and not a NaN; values beyond float32's range
/// are infinite.
enum MXFP4: BlockFormat {
  static let ggmlType: UInt32 = 39
  static let elementsPerBlock = 32
  static let bytesPerBlock = 17
  static let groupWidth = 32
  static let scaleOffset: Int? = nil

  /// Twice the sixteen 4-bit floats, of `NVFP4` too (ggml `kvalues_mxfp4`). -0 counts as 0.
  @inline(__always)
  static var levels: SIMD16<Int8> {
    SIMD16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
  }

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let exponent = UInt32(block.byte(0))
    // Below 2^-126 the power is a subnormal number.
    scales[0] = Float(
      bitPattern: exponent < 2 ? 0x0020_0000 &<< exponent : (exponent &- 1) &<< 23)
    let bytes = block.bytes16(1)
    codes.store(lookUp(bytes & 15, in: levels), at: 0)
    codes.store(lookUp(bytes &>> 4, in: levels), at: 16)
  }

  /// Whether a block holds an infinite value: its power of two times a level is 2^128 or more.
  @inline(__always)
  static func isInfinite(_ block: UnsafeRawPointer) -> Bool {
    // Levels of 8, 4 and 2 and larger ones have the numbers 6, 4 and 2 and larger ones.
    let least: UInt8
    switch block.byte(0) {
    case 253: least = 6
    case 254: least = 4
    case 255: least = 2
    default: return false
    }
    for index in 1...16 {
      let nibbles = block.byte(index)
      if nibbles & 7 >= least || nibbles >> 4 & 7 >= least { return true }
    }
    return false
  }
}

/// `4 scales of 8 bits (E4M3) | 4 × 8 bytes of nibbles`, of which byte i holds elements i and i + 8
/// of 16; value = scale / 2 · level, per 16 elements.
///
/// As in ggml, signs of scales count for nothing, and what is NaN in other E4M3 numbers is 0 where
/// its sign is clear and 480 where it is set.
enum NVFP4: BlockFormat {
  static let ggmlType: UInt32 = 40
  static let elementsPerBlock = 64
  static let bytesPerBlock = 36
  static let groupWidth = 16
  static let scaleOffset: Int? = nil

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<4 {
      let scale = block.byte(group)
      // Moved into float32's place, the bits mean 2^-120 times the scale, subnormal ones included.
      let bits = scale == 0x7F ? 0 : UInt32(scale & 0x7F) << 20
      scales[group] = Float(bitPattern: bits) * 0x1p119
      let bytes = block.loadUnaligned(fromByteOffset: 4 &+ 8 &* group, as: UInt64.self)
      let mask: UInt64 = 0x0F0F_0F0F_0F0F_0F0F
      let indices = SIMD2(bytes & mask, bytes >> 4 & mask)
      codes.store(
        lookUp(unsafeBitCast(indices, to: SIMD16<UInt8>.self), in: MXFP4.levels),
        at: 16 &* group)
    }
  }
}
