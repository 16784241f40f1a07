// ggml's k-quants: super-blocks of 256 elements, with small integer scales for each 16 or 32
// elements and one or two float16 scales for the whole.

/// `16 × (scale 4 bits, minimum 4 bits) | 64 bytes of 2-bit codes | d f16 | dmin f16`;
/// value = d · scale · code − dmin · minimum, per 16 elements.
enum Q2_K: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 84

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(80)
    let superMinimum = block.half(82)
    for group in 0..<16 {
      let packed = block.byte(group)
      let scale = superScale * Float(packed & 15)
      let minimum = superMinimum * Float(packed >> 4)
      let codes = block + twoBitCodesOffset(16, group: group)
      let shift = twoBitShift(group: group)
      for index in 0..<16 {
        values[group &* 16 &+ index] =
          scale * Float(codes.byte(index) &>> shift & 3) - minimum
      }
    }
  }
}

/// `32 bytes of third bits | 64 bytes of 2-bit codes | 12 bytes of 6-bit scales | d f16`;
/// value = d · (scale − 32) · (code − 4 where the third bit is clear), per 16 elements.
enum Q3_K: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 110

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(108)
    for group in 0..<16 {
      let low = group < 8 ? block.byte(96 &+ group) & 15 : block.byte(88 &+ group) >> 4
      let high = block.byte(104 &+ group & 3) &>> UInt8(2 &* (group >> 2)) & 3
      let scale = superScale * Float(Int32(low | high << 4) &- 32)
      let codes = block + twoBitCodesOffset(32, group: group)
      let thirdBits = block + (group & 1) &* 16
      let shift = twoBitShift(group: group)
      let bit = UInt8(1) &<< UInt8(group >> 1)
      for index in 0..<16 {
        let code = Int32(codes.byte(index) &>> shift & 3)
        let offset: Int32 = thirdBits.byte(index) & bit == 0 ? 4 : 0
        values[group &* 16 &+ index] = scale * Float(code &- offset)
      }
    }
  }
}

/// `d f16 | dmin f16 | 12 bytes of 6-bit scales and minimums | 128 bytes of nibbles`;
/// value = d · scale · code − dmin · minimum, per 32 elements.
enum Q4_K: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 144

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(0)
    let superMinimum = block.half(2)
    for group in 0..<8 {
      let packed = scaleAndMinimum(block + 4, group: group)
      let scale = superScale * Float(packed.scale)
      let minimum = superMinimum * Float(packed.minimum)
      let codes = block + (16 &+ 32 &* (group >> 1))
      let shift = UInt8(4 &* (group & 1))
      for index in 0..<32 {
        values[group &* 32 &+ index] = scale * Float(codes.byte(index) &>> shift & 15) - minimum
      }
    }
  }

  /// The `group`-th 6-bit scale and minimum of the 12 bytes that Q4_K and Q5_K share.
  @inline(__always)
  static func scaleAndMinimum(
    _ packed: UnsafeRawPointer, group: Int
  ) -> (scale: UInt8, minimum: UInt8) {
    if group < 4 {
      return (packed.byte(group) & 63, packed.byte(group &+ 4) & 63)
    }
    let low = packed.byte(group &+ 4)
    return (
      low & 15 | (packed.byte(group &- 4) >> 6) << 4, low >> 4 | (packed.byte(group) >> 6) << 4
    )
  }
}

/// `d f16 | dmin f16 | 12 bytes as Q4_K | 32 bytes of fifth bits | 128 bytes of nibbles`;
/// value = d · scale · code − dmin · minimum, per 32 elements.
enum Q5_K: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 176

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(0)
    let superMinimum = block.half(2)
    for group in 0..<8 {
      let packed = Q4_K.scaleAndMinimum(block + 4, group: group)
      let scale = superScale * Float(packed.scale)
      let minimum = superMinimum * Float(packed.minimum)
      let codes = block + (48 &+ 32 &* (group >> 1))
      let shift = UInt8(4 &* (group & 1))
      for index in 0..<32 {
        let fifth = block.byte(16 &+ index) &>> UInt8(group) & 1
        let code = codes.byte(index) &>> shift & 15 | fifth << 4
        values[group &* 32 &+ index] = scale * Float(code) - minimum
      }
    }
  }
}

/// `128 bytes of low nibbles | 64 bytes of upper bit pairs | 16 signed scales | d f16`;
/// value = d · scale · (code − 32), per 16 elements.
enum Q6_K: BlockFormat {
  static let elementsPerBlock = 256
  static let bytesPerBlock = 210

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let superScale = block.half(208)
    for group in 0..<16 {
      let scale = superScale * Float(block.load(fromByteOffset: 192 &+ group, as: Int8.self))
      // `quarter` counts 32-element runs inside each half of 128.
      let half = group >> 3
      let quarter = (group & 7) >> 1
      let lane = (group & 1) &* 16
      let low = block + (64 &* half &+ 32 &* (quarter & 1) &+ lane)
      let high = block + (128 &+ 32 &* half &+ lane)
      let lowShift = UInt8(4 &* (quarter >> 1))
      let highShift = UInt8(2 &* quarter)
      for index in 0..<16 {
        let code = low.byte(index) &>> lowShift & 15 | (high.byte(index) &>> highShift & 3) << 4
        values[group &* 16 &+ index] = scale * Float(Int32(code) &- 32)
      }
    }
  }
}

/// Offset of the 16 code bytes of a 16-element group in the 2-bit layout that Q2_K and Q3_K share:
/// 32 bytes hold 128 elements, four 32-element runs one above the other.
@inline(__always)
private func twoBitCodesOffset(_ start: Int, group: Int) -> Int {
  start &+ 32 &* (group >> 3) &+ 16 &* (group & 1)
}

@inline(__always)
private func twoBitShift(group: Int) -> UInt8 { UInt8(2 &* ((group & 7) >> 1)) }
