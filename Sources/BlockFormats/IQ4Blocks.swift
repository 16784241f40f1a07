// ggml's 4-bit formats with a non-linear table of levels.

/// The sixteen levels of `IQ4_NL` and `IQ4_XS` (ggml `kvalues_iq4nl`).
private let levels: SIMD16<Int8> = [
  -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
]

/// `d f16 | 16 bytes of nibbles` in the order of Q4_0; value = d · level.
enum IQ4_NL: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 18

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    decodeNibbles(block + 2, scale: block.half(0), into: values)
  }

  /// Decodes 32 elements from 16 bytes of table indices.
  @inline(__always)
  static func decodeNibbles(
    _ codes: UnsafeRawPointer, scale: Float, into values: UnsafeMutablePointer<Float>
  ) {
    let table = levels
    for index in 0..<16 {
      let byte = Int(codes.byte(index))
      values[index] = scale * Float(table[byte & 15])
      values[index &+ 16] = scale * Float(table[byte >> 4])
    }
  }
}

/// `d f16 | upper scale bits u16 | 4 bytes of lower scale nibbles | 128 bytes of nibbles`;
/// value = d · (scale − 32) · level, per 32 elements.
enum IQ4_XS: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 136

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(0)
    let upper = UInt16(littleEndian: block.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    for group in 0..<8 {
      let low = block.byte(4 &+ group >> 1) &>> UInt8(4 &* (group & 1)) & 15
      let high = UInt8(truncatingIfNeeded: upper &>> UInt16(2 &* group) & 3)
      let scale = superScale * Float(Int32(low | high << 4) &- 32)
      IQ4_NL.decodeNibbles(
        block + (8 &+ 16 &* group), scale: scale, into: values + group &* 32)
    }
  }
}
