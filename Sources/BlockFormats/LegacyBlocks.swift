// The 32-element formats of early ggml: one float16 scale (and minimum) for 32 codes.
//
// In all 4- and 5-bit layouts byte i of the nibbles holds element i in its low and element i + 16
// in its high half.

/// `d f16 | 16 bytes of nibbles`; value = d · (code − 8).
enum Q4_0: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 18

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let scale = block.half(0)
    for index in 0..<16 {
      let byte = Int32(block.byte(2 &+ index))
      values[index] = Float(byte & 15 &- 8) * scale
      values[index &+ 16] = Float(byte >> 4 &- 8) * scale
    }
  }
}

/// `d f16 | m f16 | 16 bytes of nibbles`; value = d · code + m.
enum Q4_1: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 20

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let scale = block.half(0)
    let minimum = block.half(2)
    for index in 0..<16 {
      let byte = Int32(block.byte(4 &+ index))
      values[index] = scale * Float(byte & 15) + minimum
      values[index &+ 16] = scale * Float(byte >> 4) + minimum
    }
  }
}

/// `d f16 | 32 fifth bits | 16 bytes of nibbles`; value = d · (code − 16).
enum Q5_0: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 22

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let scale = block.half(0)
    let fifthBits = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
    for index in 0..<16 {
      let byte = UInt32(block.byte(6 &+ index))
      let low = byte & 15 | (fifthBits &>> UInt32(index) & 1) << 4
      let high = byte >> 4 | (fifthBits &>> UInt32(index &+ 16) & 1) << 4
      values[index] = Float(Int32(low) &- 16) * scale
      values[index &+ 16] = Float(Int32(high) &- 16) * scale
    }
  }
}

/// `d f16 | m f16 | 32 fifth bits | 16 bytes of nibbles`; value = d · code + m.
enum Q5_1: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 24

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let scale = block.half(0)
    let minimum = block.half(2)
    let fifthBits = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    for index in 0..<16 {
      let byte = UInt32(block.byte(8 &+ index))
      let low = byte & 15 | (fifthBits &>> UInt32(index) & 1) << 4
      let high = byte >> 4 | (fifthBits &>> UInt32(index &+ 16) & 1) << 4
      values[index] = scale * Float(Int32(low)) + minimum
      values[index &+ 16] = scale * Float(Int32(high)) + minimum
    }
  }
}

/// `d f16 | 32 signed bytes`; value = d · code.
enum Q8_0: BlockFormat {
  static let elementsPerBlock = 32
  static let bytesPerBlock = 34

  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>) {
    let scale = block.half(0)
    for index in 0..<32 {
      values[index] = Float(block.load(fromByteOffset: 2 &+ index, as: Int8.self)) * scale
    }
  }
}
