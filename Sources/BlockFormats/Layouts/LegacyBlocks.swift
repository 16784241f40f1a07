// The 32-element formats of early ggml: one float16 scale (and minimum) for 32 codes.
//
// In all 4- and 5-bit layouts byte i of the nibbles holds element i in its low and element i + 16
// in its high half.

/// `d f16 | 16 bytes of nibbles`; value = d · (nibble − 8).
enum Q4_0: CodedFormat {
  static let ggmlType: UInt32 = 2
  static let elementsPerBlock = 32
  static let bytesPerBlock = 18
  static let groupWidth = 32
  static let largestCode = 8

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    let bytes = block.bytes16(2)
    codes.store(bytes & 15, minus: 8, at: 0)
    codes.store(bytes &>> 4, minus: 8, at: 16)
  }
}

/// `d f16 | m f16 | 16 bytes of nibbles`; value = d · nibble + m.
enum Q4_1: CodedFormat {
  static let ggmlType: UInt32 = 3
  static let elementsPerBlock = 32
  static let bytesPerBlock = 20
  static let groupWidth = 32
  static let largestCode = 8
  static let hasMinimums = true
  static let center: Int8 = 8

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    minimums[0] = block.half(2)
    let bytes = block.bytes16(4)
    codes.store(bytes & 15, at: 0)
    codes.store(bytes &>> 4, at: 16)
  }
}

/// `d f16 | 32 fifth bits | 16 bytes of nibbles`; value = d · (code − 16).
enum Q5_0: CodedFormat {
  static let ggmlType: UInt32 = 6
  static let elementsPerBlock = 32
  static let bytesPerBlock = 22
  static let groupWidth = 32
  static let largestCode = 16

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    let bytes = block.bytes16(6)
    codes.store(bytes & 15 | fifthBits(block + 2) &<< 4, minus: 16, at: 0)
    codes.store(bytes &>> 4 | fifthBits(block + 4) &<< 4, minus: 16, at: 16)
  }

  /// Sixteen fifth bits, each in a byte of its own.
  @inline(__always)
  static func fifthBits(_ packed: UnsafeRawPointer) -> SIMD16<UInt8> {
    let words = SIMD2<UInt64>(spreadBits(packed.byte(0)), spreadBits(packed.byte(1)))
    return unsafeBitCast(words, to: SIMD16<UInt8>.self)
  }
}

/// `d f16 | m f16 | 32 fifth bits | 16 bytes of nibbles`; value = d · code + m.
enum Q5_1: CodedFormat {
  static let ggmlType: UInt32 = 7
  static let elementsPerBlock = 32
  static let bytesPerBlock = 24
  static let groupWidth = 32
  static let largestCode = 16
  static let hasMinimums = true
  static let center: Int8 = 16

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    minimums[0] = block.half(2)
    let bytes = block.bytes16(8)
    codes.store(bytes & 15 | Q5_0.fifthBits(block + 4) &<< 4, at: 0)
    codes.store(bytes &>> 4 | Q5_0.fifthBits(block + 6) &<< 4, at: 16)
  }
}

/// `d f16 | 32 signed bytes`; value = d · code.
enum Q8_0: CodedFormat {
  static let ggmlType: UInt32 = 8
  static let elementsPerBlock = 32
  static let bytesPerBlock = 34
  static let groupWidth = 32
  static let largestCode = 128

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    codes.store(block.bytes32(2), at: 0)
  }
}
