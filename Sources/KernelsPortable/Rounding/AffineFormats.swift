// ggml's k-quants with minimums: how their scales are searched, and where codes and scales lie. See
// `Layouts` for the other direction.
import BlockFormats

extension Q2_K: AffineRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> AffineBlocks {
    AffineBlocks(
      width: 16, top: 3, scaleTop: 15, first: -0.9, step: 0.1, steps: 19,
      phases: isThorough || isWeighted ? 6 : 0, sweeps: 2, blockSweeps: isThorough ? 3 : 2,
      starts: isThorough ? 8 : 1, reach: isThorough ? 3 : 1, wideRatio: 2)
  }

  @inline(__always)
  static func pack(
    _ numbers: AffineNumbers, _ d: Float, _ dmin: Float, _ codes: UnsafePointer<UInt8>,
    _ target: UnsafeMutableRawPointer
  ) {
    for group in 0..<16 {
      target.store(byte: numbers.scale(group) | numbers.minimum(group) &<< 4, at: group)
    }
    target.storePairs(codes, at: 16)
    storeHalf(d, target, at: 80)
    storeHalf(dmin, target, at: 82)
  }
}

extension Q4_K: AffineRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> AffineBlocks {
    .ofSixBits(top: 15, isWeighted: isWeighted, isThorough: isThorough)
  }

  @inline(__always)
  static func pack(
    _ numbers: AffineNumbers, _ d: Float, _ dmin: Float, _ codes: UnsafePointer<UInt8>,
    _ target: UnsafeMutableRawPointer
  ) {
    packScales(numbers, d, dmin, target)
    for pair in 0..<4 { target.storeNibbles(codes + 64 &* pair, at: 16 &+ 32 &* pair) }
  }
}

extension Q5_K: AffineRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> AffineBlocks {
    .ofSixBits(top: 31, isWeighted: isWeighted, isThorough: isThorough)
  }

  @inline(__always)
  static func pack(
    _ numbers: AffineNumbers, _ d: Float, _ dmin: Float, _ codes: UnsafePointer<UInt8>,
    _ target: UnsafeMutableRawPointer
  ) {
    packScales(numbers, d, dmin, target)
    for half in 0..<2 {
      var fifth = SIMD16<UInt8>(repeating: 0)
      for group in 0..<8 {
        let bits = codes.bytes16(32 &* group &+ 16 &* half) &>> 4
        fifth |= bits &<< UInt8(truncatingIfNeeded: group)
      }
      target.storeBytes(of: fifth, toByteOffset: 16 &+ 16 &* half, as: SIMD16<UInt8>.self)
    }
    for pair in 0..<4 { target.storeNibbles(codes + 64 &* pair, at: 48 &+ 32 &* pair) }
  }
}

extension AffineBlocks {
  /// Groups of 32 with scales and minimums of 6 bits.
  fileprivate static func ofSixBits(
    top: Float, isWeighted: Bool, isThorough: Bool
  ) -> AffineBlocks {
    AffineBlocks(
      width: 32, top: top, scaleTop: 63, first: -1, step: 0.1, steps: 21,
      phases: isThorough || isWeighted ? 6 : 0, sweeps: 2, blockSweeps: isThorough ? 3 : 1,
      starts: isThorough ? 8 : 2, reach: isThorough ? 3 : 1, wideRatio: 1.5)
  }
}

/// The scales and minimums of Q4_K and Q5_K.
@_transparent
private func packScales(
  _ numbers: AffineNumbers, _ d: Float, _ dmin: Float, _ target: UnsafeMutableRawPointer
) {
  storeHalf(d, target, at: 0)
  storeHalf(dmin, target, at: 2)
  for group in 0..<4 {
    let (scale, minimum) = (numbers.scale(group &+ 4), numbers.minimum(group &+ 4))
    target.store(byte: numbers.scale(group) | (scale &>> 4) &<< 6, at: 4 &+ group)
    target.store(byte: numbers.minimum(group) | (minimum &>> 4) &<< 6, at: 8 &+ group)
    target.store(byte: scale & 15 | minimum &<< 4, at: 12 &+ group)
  }
}
