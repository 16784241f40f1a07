// ggml's formats of 1 to 2 bits: ternary ones, whose codes are -1, 0 and 1 (or 2, where a fourth
// code is left), those of signs alone, and those whose codes are points of a ternary lattice. They
// are only dequantized (see GridBlocks.swift).

/// `32 + 16 bytes of 5 ternary digits | 4 bytes of 4 ternary digits | d f16`;
/// value = d · (digit − 1).
///
/// A byte holds its digits as a fraction of 256: each time it is multiplied by 3 the next one, from
/// the first on, moves out at the top. Element i of a run's nth part is digit n of byte i.
enum TQ1_0: BlockFormat {
  static let ggmlType: UInt32 = 34
  static let elementsPerBlock = 256
  static let bytesPerBlock = 54
  static let groupWidth = 256
  static let scaleOffset: Int? = 52

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(52)
    for half in 0..<2 { storeDigits(block.bytes16(16 &* half), codes + 16 &* half, stride: 32) }
    storeDigits(block.bytes16(32), codes + 160, stride: 16)
    // The last four bytes, each digit of theirs beside the one before.
    var last = block.word32(48)
    for digit in 0..<4 {
      let low = (last & 0x00FF_00FF) &* 3
      let high = (last >> 8 & 0x00FF_00FF) &* 3
      let digits = (low >> 8 & 0x0003_0003) | (high & 0x0300_0300)
      UnsafeMutableRawPointer(codes + (240 &+ 4 &* digit)).storeBytes(
        of: ((digits | 0x8080_8080) &- 0x0101_0101) ^ 0x8080_8080, as: UInt32.self)
      last = (low & 0x00FF_00FF) | (high & 0x00FF_00FF) << 8
    }
  }

  /// The five digits of sixteen bytes.
  @inline(__always)
  private static func storeDigits(
    _ bytes: SIMD16<UInt8>, _ codes: UnsafeMutablePointer<Int8>, stride: Int
  ) {
    var words = SIMD16<UInt16>(truncatingIfNeeded: bytes)
    for digit in 0..<5 {
      let product = words &+ words &+ words
      codes.store(SIMD16(truncatingIfNeeded: product &>> 8), minus: 1, at: digit &* stride)
      words = product & 255
    }
  }
}

/// `64 bytes of 2-bit codes | d f16`; value = d · (code − 1).
enum TQ2_0: BlockFormat {
  static let ggmlType: UInt32 = 35
  static let elementsPerBlock = 256
  static let bytesPerBlock = 66
  static let groupWidth = 256
  static let scaleOffset: Int? = 64

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(64)
    for half in 0..<2 {
      // As in Q2_K: four runs of 32 one above the other.
      let bytes = block.bytes32(32 &* half)
      codes.store(bytes & 3, minus: 1, at: 128 &* half)
      codes.store(bytes &>> 2 & 3, minus: 1, at: 128 &* half &+ 32)
      codes.store(bytes &>> 4 & 3, minus: 1, at: 128 &* half &+ 64)
      codes.store(bytes &>> 6, minus: 1, at: 128 &* half &+ 96)
    }
  }
}

/// `d f16 | 128 bits`; value = d where the bit is set, else −d.
enum Q1_0: BlockFormat {
  static let ggmlType: UInt32 = 41
  static let elementsPerBlock = 128
  static let bytesPerBlock = 18
  static let groupWidth = 128

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    for index in 0..<16 {
      // A byte of 1 stays, one of 0 becomes -1.
      codes.store(~(spreadBits(block.byte(2 &+ index)) &* 254), at: 8 &* index)
    }
  }
}

/// `d f16 | 16 bytes of 2-bit codes`, each element beside the one before; value = d · (code − 1).
enum Q2_0: BlockFormat {
  static let ggmlType: UInt32 = 42
  static let elementsPerBlock = 64
  static let bytesPerBlock = 18
  static let groupWidth = 64

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    scales[0] = block.half(0)
    let upper: UInt64 = 0x8080_8080_8080_8080
    for index in 0..<8 {
      // Eight pairs of bits move apart, to a byte each.
      var pairs = UInt64(block.word16(2 &+ 2 &* index))
      pairs = (pairs | pairs << 24) & 0x0000_00FF_0000_00FF
      pairs = (pairs | pairs << 12) & 0x000F_000F_000F_000F
      pairs = (pairs | pairs << 6) & 0x0303_0303_0303_0303
      codes.store(((pairs | upper) &- 0x0101_0101_0101_0101) ^ upper, at: 8 &* index)
    }
  }
}

/// `d f16 | 32 bytes of points | 8 × (4 × 3 upper point bits, scale 3 bits, sign of δ)`;
/// value = d · (2 · scale + 1) · (level + δ) with levels of -1, 0 and 1 and δ = ±⅛, per 32
/// elements.
enum IQ1_S: BlockFormat {
  static let ggmlType: UInt32 = 19
  static let elementsPerBlock = 256
  static let bytesPerBlock = 50
  static let groupWidth = 32

  /// Eight times the levels with δ = ⅛, so that codes are integers, and 128 more.
  static let grid = Grid<UInt64>(GridTables.iq1_s, bits: 2, levels: [121, 129, 137, 0])

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(0)
    let grid = grid
    for group in 0..<8 {
      let word = Int(block.word16(34 &+ 2 &* group))
      scales[group] = scale(superScale, word >> 12)
      for part in 0..<4 {
        let upper = (word &>> (3 &* part)) & 7
        let point = grid[Int(block.byte(2 &+ 4 &* group &+ part)) | upper << 8]
        codes.store(Self.codes(point, isDown: word >> 15), at: 32 &* group &+ 8 &* part)
      }
    }
  }

  // IQ1_S and IQ1_M share their scales and points.

  /// A group's scale, divided by the 8 that codes are multiplied by.
  @inline(__always)
  static func scale(_ superScale: Float, _ bits: Int) -> Float {
    superScale * Float(Int32(truncatingIfNeeded: 2 &* (bits & 7) &+ 1)) * 0.125
  }

  /// The codes of a point; δ = −⅛ if `isDown` is 1.
  @inline(__always)
  static func codes(_ point: UInt64, isDown: Int) -> UInt64 {
    // No byte borrows from the next.
    let steps = UInt64(truncatingIfNeeded: isDown) &* 0x0202_0202_0202_0202
    return (point &- steps) ^ 0x8080_8080_8080_8080
  }
}

/// `32 bytes of points | 32 × (3 upper point bits, sign of δ) | 4 × (4 × 3 bits of scales, 4 bits
/// of d)`; value = d · (2 · scale + 1) · (level + δ) as in `IQ1_S`, the scale per 16 elements and δ
/// per 8.
enum IQ1_M: BlockFormat {
  static let ggmlType: UInt32 = 29
  static let elementsPerBlock = 256
  static let bytesPerBlock = 56
  static let groupWidth = 16
  static let scaleOffset: Int? = nil

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = float(half: superScale(block))
    let grid = IQ1_S.grid
    for group in 0..<16 {
      let word = Int(block.word16(48 &+ group >> 2 &* 2))
      scales[group] = IQ1_S.scale(superScale, word &>> (3 &* (group & 3)))
    }
    for part in 0..<32 {
      let bits = Int((block + 32).nibble(part))
      let point = grid[Int(block.byte(part)) | (bits & 7) << 8]
      codes.store(IQ1_S.codes(point, isDown: bits >> 3), at: 8 &* part)
    }
  }

  /// The bits of the float16 scale, which lie in the upper nibbles of four words, the lowest first.
  @inline(__always)
  static func superScale(_ block: UnsafeRawPointer) -> UInt16 {
    block.word16(48) >> 12 | block.word16(50) >> 8 & 0x00F0 | block.word16(52) >> 4 & 0x0F00
      | block.word16(54) & 0xF000
  }
}
