// Where ggml's k-quants keep codes and scales; see `Layouts` for the other direction.
import BlockFormats

/// See `Q2_K`.
@_transparent
func packQ2_K(
  _ numbers: AffineNumbers, _ choice: AffineChoice, _ block: SearchBlock,
  _ codes: UnsafePointer<UInt8>, _ target: UnsafeMutableRawPointer
) {
  for group in 0..<16 {
    target.store(byte: numbers.scale(group) | numbers.minimum(group) &<< 4, at: group)
  }
  target.storePairs(codes, at: 16)
  storeHalf(choice.d * block.unit, target, at: 80)
  storeHalf(choice.dmin * block.unit, target, at: 82)
}

/// See `Q4_K`.
@_transparent
func packQ4_K(
  _ numbers: AffineNumbers, _ choice: AffineChoice, _ block: SearchBlock,
  _ codes: UnsafePointer<UInt8>, _ target: UnsafeMutableRawPointer
) {
  packScales(numbers, choice, block, target)
  for pair in 0..<4 { target.storeNibbles(codes + 64 &* pair, at: 16 &+ 32 &* pair) }
}

/// See `Q5_K`.
@_transparent
func packQ5_K(
  _ numbers: AffineNumbers, _ choice: AffineChoice, _ block: SearchBlock,
  _ codes: UnsafePointer<UInt8>, _ target: UnsafeMutableRawPointer
) {
  packScales(numbers, choice, block, target)
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

/// The scales and minimums of Q4_K and Q5_K.
@_transparent
private func packScales(
  _ numbers: AffineNumbers, _ choice: AffineChoice, _ block: SearchBlock,
  _ target: UnsafeMutableRawPointer
) {
  storeHalf(choice.d * block.unit, target, at: 0)
  storeHalf(choice.dmin * block.unit, target, at: 2)
  for group in 0..<4 {
    let (scale, minimum) = (numbers.scale(group &+ 4), numbers.minimum(group &+ 4))
    target.store(byte: numbers.scale(group) | (scale &>> 4) &<< 6, at: 4 &+ group)
    target.store(byte: numbers.minimum(group) | (minimum &>> 4) &<< 6, at: 8 &+ group)
    target.store(byte: scale & 15 | minimum &<< 4, at: 12 &+ group)
  }
}

extension UnsafeMutableRawPointer {
  @_transparent
  func store(byte: UInt8, at offset: Int) {
    storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
  }

  /// 64 codes in 32 bytes: the first half low, the second high.
  @_transparent
  func storeNibbles(_ codes: UnsafePointer<UInt8>, at offset: Int) {
    for half in 0..<2 {
      let low = codes.bytes16(16 &* half) & 15
      let high = codes.bytes16(32 &+ 16 &* half) &<< 4
      storeBytes(of: low | high, toByteOffset: offset &+ 16 &* half, as: SIMD16<UInt8>.self)
    }
  }

  /// The two lower bits of 256 codes in 64 bytes, four runs of 32 one above the other, twice.
  @_transparent
  func storePairs(_ codes: UnsafePointer<UInt8>, at offset: Int) {
    for half in 0..<2 {
      for part in 0..<2 {
        let first = codes + (128 &* half &+ 16 &* part)
        let low = first.bytes16(0) & 3 | (first.bytes16(32) & 3) &<< 2
        let high = (first.bytes16(64) & 3) &<< 4 | (first.bytes16(96) & 3) &<< 6
        storeBytes(
          of: low | high, toByteOffset: offset &+ 32 &* half &+ 16 &* part,
          as: SIMD16<UInt8>.self)
      }
    }
  }
}

extension UnsafePointer<UInt8> {
  @_transparent
  func bytes16(_ index: Int) -> SIMD16<UInt8> {
    UnsafeRawPointer(self).loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self)
  }
}

/// See `Q3_K`.
@_transparent
func packQ3_K(
  _ numbers: SIMD16<UInt8>, _ d: Float, _ codes: UnsafePointer<UInt8>,
  _ target: UnsafeMutableRawPointer
) {
  for part in 0..<2 {
    var third = SIMD16<UInt8>(repeating: 0)
    for run in 0..<8 {
      let bits = codes.bytes16(32 &* run &+ 16 &* part) &>> 2
      third |= bits &<< UInt8(truncatingIfNeeded: run)
    }
    target.storeBytes(of: third, toByteOffset: 16 &* part, as: SIMD16<UInt8>.self)
  }
  target.storePairs(codes, at: 32)
  let scales = numbers &+ 32
  for group in 0..<8 {
    target.store(byte: scales[group] & 15 | scales[group &+ 8] &<< 4, at: 96 &+ group)
  }
  for group in 0..<4 {
    let low = scales[group] &>> 4 | (scales[group &+ 4] &>> 4) &<< 2
    let high = (scales[group &+ 8] &>> 4) &<< 4 | (scales[group &+ 12] &>> 4) &<< 6
    target.store(byte: low | high, at: 104 &+ group)
  }
  storeHalf(d, target, at: 108)
}

/// See `Q6_K`.
@_transparent
func packQ6_K(
  _ numbers: SIMD16<UInt8>, _ d: Float, _ codes: UnsafePointer<UInt8>,
  _ target: UnsafeMutableRawPointer
) {
  for half in 0..<2 {
    for part in 0..<2 {
      let first = codes + (128 &* half &+ 16 &* part)
      let runs = (first.bytes16(0), first.bytes16(32), first.bytes16(64), first.bytes16(96))
      let offset = 64 &* half &+ 16 &* part
      target.storeBytes(
        of: runs.0 & 15 | runs.2 &<< 4, toByteOffset: offset, as: SIMD16<UInt8>.self)
      target.storeBytes(
        of: runs.1 & 15 | runs.3 &<< 4, toByteOffset: offset &+ 32, as: SIMD16<UInt8>.self)
      let low = runs.0 &>> 4 | (runs.1 &>> 4) &<< 2
      let high = (runs.2 &>> 4) &<< 4 | (runs.3 &>> 4) &<< 6
      target.storeBytes(
        of: low | high, toByteOffset: 128 &+ 32 &* half &+ 16 &* part, as: SIMD16<UInt8>.self)
    }
  }
  target.storeBytes(of: numbers, toByteOffset: 192, as: SIMD16<UInt8>.self)
  storeHalf(d, target, at: 208)
}

/// See `IQ4_XS`.
@_transparent
func packIQ4_XS(
  _ numbers: SIMD16<UInt8>, _ d: Float, _ codes: UnsafePointer<UInt8>,
  _ target: UnsafeMutableRawPointer
) {
  storeHalf(d, target, at: 0)
  let scales = numbers &+ 32
  for pair in 0..<4 {
    let (first, second) = (scales[2 &* pair], scales[2 &* pair &+ 1])
    target.store(byte: first & 15 | second &<< 4, at: 4 &+ pair)
  }
  for half in 0..<2 {
    var upper: UInt8 = 0
    for group in 0..<4 {
      upper |= (scales[4 &* half &+ group] &>> 4) &<< UInt8(truncatingIfNeeded: 2 &* group)
    }
    target.store(byte: upper, at: 2 &+ half)
  }
  for group in 0..<8 {
    let first = codes + 32 &* group
    target.storeBytes(
      of: first.bytes16(0) | first.bytes16(16) &<< 4, toByteOffset: 8 &+ 16 &* group,
      as: SIMD16<UInt8>.self)
  }
}
