// ggml's formats of 2 and 3 bits: each code is the number of a point of a lattice that gives the
// magnitudes of several elements; their signs are stored apart. Super-blocks of 256 elements have
// one float16 scale, each 16 or 32 elements a small integer one.
//
// These formats and those of 1 bit are only dequantized: no kernel unpacks their blocks, so they
// are not in the folder `Layouts`.

/// `d f16 | 8 × (4 bytes of points, 4 × 7 signs, scale 4 bits)`;
/// value = d · (scale + ½) / 4 · ± level, per 32 elements.
enum IQ2_XXS: BlockFormat {
  static let ggmlType: UInt32 = 16
  static let elementsPerBlock = 256
  static let bytesPerBlock = 66
  static let groupWidth = 32

  /// The magnitudes of elements, of `IQ2_XS` and `IQ2_S` too.
  static let levels: [UInt8] = [8, 25, 43, 0]
  static let grid = Grid<UInt64>(GridTables.iq2_xxs, bits: 2, levels: levels)

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(0)
    let grid = grid
    for group in 0..<8 {
      let (points, rest) = (block.word32(2 &+ 8 &* group), block.word32(6 &+ 8 &* group))
      scales[group] = superScale * (0.5 + Float(Int32(rest >> 28))) * 0.25
      for part in 0..<4 {
        let point = grid[Int(points &>> UInt32(8 &* part) & 255)]
        codes.store(
          withSigns(evenSigns(rest &>> UInt32(7 &* part)), point), at: 32 &* group &+ 8 &* part)
      }
    }
  }
}

/// `d f16 | 32 × (point 9 bits, 7 signs) | 8 bytes of scale nibbles`;
/// value = d · (scale + ½) / 4 · ± level, per 16 elements.
enum IQ2_XS: BlockFormat {
  static let ggmlType: UInt32 = 17
  static let elementsPerBlock = 256
  static let bytesPerBlock = 74
  static let groupWidth = 16

  static let grid = Grid<UInt64>(GridTables.iq2_xs, bits: 2, levels: IQ2_XXS.levels)

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    storeScales(block.half(0), nibbles: block + 66, into: scales)
    let grid = grid
    for part in 0..<32 {
      let word = UInt32(block.word16(2 &+ 2 &* part))
      codes.store(withSigns(evenSigns(word &>> 9), grid[Int(word & 511)]), at: 8 &* part)
    }
  }

  /// The sixteen scales of a block, of `IQ2_S` too.
  @inline(__always)
  static func storeScales(
    _ superScale: Float, nibbles: UnsafeRawPointer, into scales: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<16 {
      scales[group] = superScale * (0.5 + Float(nibbles.nibble(group))) * 0.25
    }
  }
}

/// `d f16 | 32 bytes of points | 32 bytes of signs | 8 bytes of upper point bit pairs | 8 bytes of
/// scale nibbles`; value = d · (scale + ½) / 4 · ± level, per 16 elements.
enum IQ2_S: BlockFormat {
  static let ggmlType: UInt32 = 22
  static let elementsPerBlock = 256
  static let bytesPerBlock = 82
  static let groupWidth = 16

  static let grid = Grid<UInt64>(GridTables.iq2_s, bits: 2, levels: IQ2_XXS.levels)

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    IQ2_XS.storeScales(block.half(0), nibbles: block + 74, into: scales)
    let grid = grid
    for part in 0..<32 {
      let upper = Int(block.byte(66 &+ part >> 2) &>> UInt8(2 &* (part & 3)) & 3)
      let point = grid[Int(block.byte(2 &+ part)) | upper << 8]
      codes.store(withSigns(block.byte(34 &+ part), point), at: 8 &* part)
    }
  }
}

/// `d f16 | 64 bytes of points | 8 × (4 × 7 signs, scale 4 bits)`;
/// value = d · (scale + ½) / 2 · ± level, per 32 elements.
enum IQ3_XXS: BlockFormat {
  static let ggmlType: UInt32 = 18
  static let elementsPerBlock = 256
  static let bytesPerBlock = 98
  static let groupWidth = 32

  static let grid = Grid<UInt32>(
    GridTables.iq3_xxs, bits: 4, levels: [4, 12, 20, 28, 36, 44, 52, 62])

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(0)
    let grid = grid
    for group in 0..<8 {
      let rest = block.word32(66 &+ 4 &* group)
      scales[group] = superScale * (0.5 + Float(Int32(rest >> 28))) * 0.5
      for part in 0..<4 {
        let points = block + (2 &+ 8 &* group &+ 2 &* part)
        let pair = joined(grid[Int(points.byte(0))], grid[Int(points.byte(1))])
        codes.store(
          withSigns(evenSigns(rest &>> UInt32(7 &* part)), pair), at: 32 &* group &+ 8 &* part)
      }
    }
  }
}

/// `d f16 | 64 bytes of points | 64 ninth point bits | 32 bytes of signs | 4 bytes of scale
/// nibbles`; value = d · (2 · scale + 1) · ± level, per 32 elements.
enum IQ3_S: BlockFormat {
  static let ggmlType: UInt32 = 21
  static let elementsPerBlock = 256
  static let bytesPerBlock = 110
  static let groupWidth = 32

  static let grid = Grid<UInt32>(
    GridTables.iq3_s, bits: 4, levels: [1, 3, 5, 7, 9, 11, 13, 15])

  @inline(__always)
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>
  ) {
    let superScale = block.half(0)
    let grid = grid
    for group in 0..<8 {
      scales[group] = superScale * Float(2 &* (block + 106).nibble(group) &+ 1)
      let ninths = Int(block.byte(66 &+ group))
      for part in 0..<4 {
        let points = block + (2 &+ 8 &* group &+ 2 &* part)
        let first = grid[Int(points.byte(0)) | (ninths &<< (8 &- 2 &* part)) & 256]
        let second = grid[Int(points.byte(1)) | (ninths &<< (7 &- 2 &* part)) & 256]
        let signs = block.byte(74 &+ 4 &* group &+ part)
        codes.store(withSigns(signs, joined(first, second)), at: 32 &* group &+ 8 &* part)
      }
    }
  }
}

/// The signs of eight elements, a set bit for each negative one. Seven are stored: the number of
/// negative elements is even (ggml `ksigns_iq2xs`).
@inline(__always)
private func evenSigns(_ stored: UInt32) -> UInt8 {
  let bits = UInt8(truncatingIfNeeded: stored & 127)
  // Bit n of the constant is the parity of n.
  let parity = UInt32(0x6996) &>> UInt32((bits ^ bits >> 4) & 15)
  return bits | UInt8(truncatingIfNeeded: parity) << 7
}

/// Eight magnitudes with signs.
@inline(__always)
private func withSigns(_ signs: UInt8, _ magnitudes: UInt64) -> UInt64 {
  // Two's complement byte by byte: no magnitude is 0, so none carries into the next.
  let ones = spreadBits(signs)
  return (magnitudes ^ ones &* 255) &+ ones
}

/// Two points of four elements.
@inline(__always)
private func joined(_ first: UInt32, _ second: UInt32) -> UInt64 {
  UInt64(first) | UInt64(second) << 32
}

extension UnsafeRawPointer {
  /// The little-endian number at an offset.
  @inline(__always)
  func word16(_ offset: Int) -> UInt16 {
    UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// The nibble of an index, of which each byte holds two, the low one first.
  @inline(__always)
  func nibble(_ index: Int) -> Int32 {
    Int32(byte(index >> 1) &>> UInt8(4 &* (index & 1)) & 15)
  }
}

extension UnsafeMutablePointer<Int8> {
  /// Writes 8 codes.
  @inline(__always)
  func store(_ codes: UInt64, at index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(of: codes.littleEndian, as: UInt64.self)
  }
}
