// ggml's k-quants: super-blocks of 256 elements, with small integer scales for each 16 or 32
// elements and one or two float16 scales for the whole.

/// `16 × (scale 4 bits, minimum 4 bits) | 64 bytes of 2-bit codes | d f16 | dmin f16`;
/// value = d · scale · code − dmin · minimum, per 16 elements.
enum Q2_K: IntegerScaledFormat {
  static let ggmlType: UInt32 = 10
  static let elementsPerBlock = 256
  static let bytesPerBlock = 84
  static let groupWidth = 16
  static let largestCode = 2
  static let integerScaleBits = 4
  static let scaleOffset: Int? = 80
  static let hasMinimums = true
  static let center: Int8 = 2

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales.store(integerScales(block), count: 16)
    let high = unsafeBitCast(block.bytes16(0) &>> 4, to: SIMD2<UInt64>.self)
    minimums.store((-block.half(82), high), count: 16)
    for half in 0..<2 {
      // 32 bytes hold 128 elements, four runs of 32 one above the other.
      let bytes = block.bytes32(16 &+ 32 &* half)
      codes.store(bytes & 3, at: 128 &* half)
      codes.store(bytes &>> 2 & 3, at: 128 &* half &+ 32)
      codes.store(bytes &>> 4 & 3, at: 128 &* half &+ 64)
      codes.store(bytes &>> 6, at: 128 &* half &+ 96)
    }
  }

  @inline(__always)
  static func integerScales(_ block: UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>) {
    (block.half(80), unsafeBitCast(block.bytes16(0) & 15, to: SIMD2<UInt64>.self))
  }

  @inline(__always)
  static func pairMinimumsWithScales(_ block: UnsafeMutableRawPointer) {
    let words = block.loadUnaligned(as: SIMD2<UInt64>.self)
    let scales = words & 0x0707_0707_0707_0707 | 0x0808_0808_0808_0808
    block.storeBytes(of: scales | scales &<< 4, as: SIMD2<UInt64>.self)
  }
}

/// `32 bytes of third bits | 64 bytes of 2-bit codes | 12 bytes of 6-bit scales | d f16`;
/// value = d · (scale − 32) · (code − 4 where the third bit is clear), per 16 elements.
enum Q3_K: IntegerScaledFormat {
  static let ggmlType: UInt32 = 11
  static let elementsPerBlock = 256
  static let bytesPerBlock = 110
  static let groupWidth = 16
  static let largestCode = 4
  static let integerScaleBits = 6
  static let scaleOffset: Int? = 108

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales.store(integerScales(block), count: 16)
    let third = block.bytes32(0)
    // The bit of run r is the bit of value 2^r; shifted to 4 and subtracted as 4 if it is clear.
    let low = block.bytes32(32)
    codes.store((low & 3) | ((third & 1) &<< 2), minus: 4, at: 0)
    codes.store((low &>> 2 & 3) | ((third & 2) &<< 1), minus: 4, at: 32)
    codes.store((low &>> 4 & 3) | (third & 4), minus: 4, at: 64)
    codes.store((low &>> 6) | (third &>> 1 & 4), minus: 4, at: 96)
    let high = block.bytes32(64)
    codes.store((high & 3) | (third &>> 2 & 4), minus: 4, at: 128)
    codes.store((high &>> 2 & 3) | (third &>> 3 & 4), minus: 4, at: 160)
    codes.store((high &>> 4 & 3) | (third &>> 4 & 4), minus: 4, at: 192)
    codes.store((high &>> 6) | (third &>> 5 & 4), minus: 4, at: 224)
  }

  /// Low nibbles in 8 bytes and upper bit pairs in 4.
  @inline(__always)
  static func integerScales(_ block: UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>) {
    let low = UInt64(block.word32(96)) | UInt64(block.word32(100)) << 32
    let pairs = UInt64(block.word32(104))
    let mask: UInt64 = 0x0303_0303_0303_0303
    let first = (pairs | pairs << 30) & mask
    let second = (pairs >> 4 | pairs << 26) & mask
    let bytes = SIMD2<UInt64>(
      low & 0x0F0F_0F0F_0F0F_0F0F | first << 4, low >> 4 & 0x0F0F_0F0F_0F0F_0F0F | second << 4)
    let signed = unsafeBitCast(bytes, to: SIMD16<UInt8>.self) &- 32
    return (block.half(108), unsafeBitCast(signed, to: SIMD2<UInt64>.self))
  }
}

/// `d f16 | dmin f16 | 12 bytes of 6-bit scales and minimums | 128 bytes of nibbles`;
/// value = d · scale · code − dmin · minimum, per 32 elements.
enum Q4_K: IntegerScaledFormat {
  static let ggmlType: UInt32 = 12
  static let elementsPerBlock = 256
  static let bytesPerBlock = 144
  static let groupWidth = 32
  static let largestCode = 8
  static let integerScaleBits = 6
  static let hasMinimums = true
  static let center: Int8 = 8

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales.store(integerScales(block), count: 8)
    minimums.store(integerMinimums(block), count: 8)
    for pair in 0..<4 {
      let bytes = block.bytes32(16 &+ 32 &* pair)
      codes.store(bytes & 15, at: 64 &* pair)
      codes.store(bytes &>> 4, at: 64 &* pair &+ 32)
    }
  }

  // Q4_K and Q5_K share their scales and minimums: 8 of 6 bits each in 12 bytes, the first four in
  // one piece, of the others the upper bit pairs above the first and the nibbles last.

  @inline(__always)
  static func integerScales(_ block: UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>) {
    let (first, third) = (block.word32(4), block.word32(12))
    let upper = third & 0x0F0F_0F0F | (first >> 6 & 0x0303_0303) << 4
    return (block.half(0), SIMD2(UInt64(first & 0x3F3F_3F3F) | UInt64(upper) << 32, 0))
  }

  /// The minimums in the form of scales.
  @inline(__always)
  static func integerMinimums(_ block: UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>) {
    let (second, third) = (block.word32(8), block.word32(12))
    let upper = third >> 4 & 0x0F0F_0F0F | (second >> 6 & 0x0303_0303) << 4
    return (-block.half(2), SIMD2(UInt64(second & 0x3F3F_3F3F) | UInt64(upper) << 32, 0))
  }

  @inline(__always)
  static func pairMinimumsWithScales(_ block: UnsafeMutableRawPointer) {
    // The highest bit of each scale is set: of the later ones it lies above the earlier ones' six.
    let first = block.loadUnaligned(fromByteOffset: 4, as: UInt32.self) | 0xA0A0_A0A0
    let low = block.loadUnaligned(fromByteOffset: 12, as: UInt32.self) & 0x0F0F_0F0F
    block.storeBytes(of: first, toByteOffset: 4, as: UInt32.self)
    block.storeBytes(of: first, toByteOffset: 8, as: UInt32.self)
    block.storeBytes(of: low | low << 4, toByteOffset: 12, as: UInt32.self)
  }
}

/// `d f16 | dmin f16 | 12 bytes as Q4_K | 32 bytes of fifth bits | 128 bytes of nibbles`;
/// value = d · scale · code − dmin · minimum, per 32 elements.
enum Q5_K: CodedFormat {
  static let ggmlType: UInt32 = 13
  static let elementsPerBlock = 256
  static let bytesPerBlock = 176
  static let groupWidth = 32
  static let largestCode = 16
  static let integerScaleBits = 6
  static let hasMinimums = true
  static let center: Int8 = 16

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales.store(Q4_K.integerScales(block), count: 8)
    minimums.store(Q4_K.integerMinimums(block), count: 8)
    // Bit g of byte i is the fifth bit of element i of group g.
    var fifth = block.bytes32(16)
    for pair in 0..<4 {
      let bytes = block.bytes32(48 &+ 32 &* pair)
      codes.store(bytes & 15 | (fifth & 1) &<< 4, at: 64 &* pair)
      codes.store(bytes &>> 4 | (fifth & 2) &<< 3, at: 64 &* pair &+ 32)
      fifth = fifth &>> 2
    }
  }

  @inline(__always)
  static func pairMinimumsWithScales(_ block: UnsafeMutableRawPointer) {
    Q4_K.pairMinimumsWithScales(block)
  }
}

/// `128 bytes of low nibbles | 64 bytes of upper bit pairs | 16 signed scales | d f16`;
/// value = d · scale · (code − 32), per 16 elements.
enum Q6_K: CodedFormat {
  static let ggmlType: UInt32 = 14
  static let elementsPerBlock = 256
  static let bytesPerBlock = 210
  static let groupWidth = 16
  static let largestCode = 32
  static let integerScaleBits = 8
  static let scaleOffset: Int? = 208

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(208)
    let packed = block.loadUnaligned(fromByteOffset: 192, as: SIMD2<UInt64>.self)
    scales.storeProducts(superScale, signed: packed[0], at: 0)
    scales.storeProducts(superScale, signed: packed[1], at: 8)
    for half in 0..<2 {
      // Each half of 128 is four runs of 32: low nibbles of two, high nibbles of two.
      let first = block.bytes32(64 &* half)
      let second = block.bytes32(64 &* half &+ 32)
      let pairs = block.bytes32(128 &+ 32 &* half)
      let index = 128 &* half
      codes.store(first & 15 | (pairs & 3) &<< 4, minus: 32, at: index)
      codes.store(second & 15 | (pairs & 12) &<< 2, minus: 32, at: index &+ 32)
      codes.store(first &>> 4 | (pairs & 48), minus: 32, at: index &+ 64)
      codes.store(second &>> 4 | (pairs &>> 2 & 48), minus: 32, at: index &+ 96)
    }
  }
}
