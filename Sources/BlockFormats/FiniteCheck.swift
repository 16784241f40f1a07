/// Finds numbers that are NaN or infinite in stored tensors, without decoding them.
///
/// Of quantized blocks the scales are looked at: everything else is small integers, whose products
/// with finite half-precision scales stay below 2^33. Only scales of MXFP4 can be so large that
/// products with some codes are infinite.
extension ElementType {
  /// Where the half-precision scales of a block lie, in bytes from its start; empty for plain
  /// numbers, types that this program cannot decode, and those whose scales are no such numbers or
  /// lie in pieces.
  package var scaleOffsets: [Int] {
    switch self {
    case .q4_0, .q5_0, .q8_0, .iq4_nl, .iq4_xs, .iq1_s, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s,
      .q1_0, .q2_0:
      [0]
    case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
    case .q2_K: [80, 82]
    case .q3_K: [108]
    case .q6_K: [208]
    case .tq1_0: [52]
    case .tq2_0: [64]
    default: []
    }
  }

  /// Whether a range of blocks (for plain types: of numbers) holds a NaN or an infinity.
  ///
  /// - Parameters:
  ///   - bytes: the first block, of any alignment.
  ///   - count: blocks.
  /// - Returns: the answer; false for types that are no weights.
  package func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    switch self {
    case .f32: Self.anyAtLeast(UInt32(0x7F80_0000), bytes, count)
    case .f16: Self.anyAtLeast(UInt16(0x7C00), bytes, count)
    case .bf16: Self.anyAtLeast(UInt16(0x7F80), bytes, count)
    // What rounds to infinity in float32, in which everything is computed, counts too.
    case .f64: Self.anyAtLeast(UInt64(0x47EF_FFFF_F000_0000), bytes, count)
    // Has no infinities; only the very last number is a NaN.
    case .f8_e4m3: Self.anyAtLeast(UInt8(0x7F), bytes, count)
    case .f8_e5m2: Self.anyAtLeast(UInt8(0x7C), bytes, count)
    case .iq1_m: hasBlock(bytes, count) { IQ1_M.superScale($0) & 0x7C00 == 0x7C00 }
    case .mxfp4: hasBlock(bytes, count, where: MXFP4.isInfinite)
    // All scales stand for finite numbers.
    case .nvfp4: false
    default: hasNonFiniteScale(bytes, count)
    }
  }

  /// Finds all blocks with a NaN or an infinity. Much slower than asking whether there is one.
  ///
  /// - Parameters:
  ///   - bytes: the first block, of any alignment.
  ///   - count: blocks.
  /// - Returns: the first of them, nil if there is none, and how many there are.
  package func nonFiniteBlocks(
    _ bytes: UnsafeRawPointer, blocks count: Int
  ) -> (first: Int?, count: Int) {
    var found: (first: Int?, count: Int) = (nil, 0)
    for block in 0..<count where hasNonFinite(bytes + block * bytesPerBlock, blocks: 1) {
      found = (found.first ?? block, found.count + 1)
    }
    return found
  }

  /// Whether any number's bits, but for the sign, are at least those of a limit. Their sum with
  /// what the limit lacks carries into the sign then, and only then; so no comparison is needed.
  @inline(__always)
  private static func anyAtLeast<Bits: FixedWidthInteger & UnsignedInteger>(
    _ limit: Bits, _ bytes: UnsafeRawPointer, _ count: Int
  ) -> Bool {
    let magnitude = Bits.max >> 1
    let rest = magnitude &- limit &+ 1
    var seen: Bits = 0
    for index in 0..<count {
      let bits = bytes.loadUnaligned(
        fromByteOffset: index &* MemoryLayout<Bits>.size, as: Bits.self)
      seen |= (bits & magnitude) &+ rest
    }
    return seen > magnitude
  }

  private func hasNonFiniteScale(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
    var seen: UInt16 = 0
    for offset in scaleOffsets {
      var scale = bytes + offset
      for _ in 0..<count {
        seen |= (scale.loadUnaligned(as: UInt16.self) & 0x7C00) &+ 0x0400
        scale += bytesPerBlock
      }
    }
    return seen & 0x8000 != 0
  }

  /// Whether any block is such.
  @inline(__always)
  private func hasBlock(
    _ bytes: UnsafeRawPointer, _ count: Int, where isSuch: (UnsafeRawPointer) -> Bool
  ) -> Bool {
    for block in 0..<count where isSuch(bytes + block &* bytesPerBlock) { return true }
    return false
  }
}
