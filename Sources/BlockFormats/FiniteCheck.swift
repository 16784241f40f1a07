/// Finds numbers that are NaN or infinite in stored tensors, without decoding them.
///
/// Of quantized blocks the scales are looked at: everything else is small integers, whose products
/// with finite half-precision scales stay below 2^33. Only scales of MXFP4 can be so large that
/// products with some codes are infinite.
extension ElementType {
  /// Whether a range of blocks (for plain types: of numbers) holds a NaN or an infinity.
  ///
  /// - Parameters:
  ///   - bytes: the first block, of any alignment.
  ///   - count: blocks.
  /// - Returns: the answer; false for types that hold no weights.
  package func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    decoder?.hasNonFinite(bytes, blocks: count) ?? false
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
}

extension BlockFormat {
  /// Looks at the float16 scales; formats without any have their own test.
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    guard let scaleOffset else { return false }
    return hasNonFiniteHalf(bytes + scaleOffset, count)
      || hasMinimums && hasNonFiniteHalf(bytes + (scaleOffset + 2), count)
  }

  @inline(__always)
  private static func hasNonFiniteHalf(_ first: UnsafeRawPointer, _ count: Int) -> Bool {
    var seen: UInt16 = 0
    for block in 0..<count {
      let bits = first.loadUnaligned(fromByteOffset: block &* bytesPerBlock, as: UInt16.self)
      seen |= (bits & 0x7C00) &+ 0x0400
    }
    return seen & 0x8000 != 0
  }
}

extension IQ1_M {
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    for block in 0..<count
    where superScale(bytes + block &* bytesPerBlock) & 0x7C00 == 0x7C00 { return true }
    return false
  }
}

extension MXFP4 {
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    for block in 0..<count where isInfinite(bytes + block &* bytesPerBlock) { return true }
    return false
  }
}
// All scales of NVFP4 stand for finite numbers.
