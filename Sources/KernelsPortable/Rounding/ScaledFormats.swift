// ggml's k-quants without minimums and IQ4_XS: how their scales are searched, and where codes and
// scales lie. See `Layouts` for the other direction.
import BlockFormats

extension Q3_K: ScaledRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> ScaledBlocks {
    let grid =
      isWeighted || isThorough
      ? ScaleGrid(
        start: -4, first: -5.75, step: 0.25, steps: 14, mirroredFirst: 2.4, mirroredStep: 0.25,
        mirroredSteps: 7, sweeps: 2)
      : ScaleGrid(
        start: -4, first: -4.4, step: 0.65, steps: 3, mirroredFirst: 2.8, mirroredStep: 0.5,
        mirroredSteps: 2, sweeps: 1)
    return ScaledBlocks(
      width: 16, levels: .integers(least: -4, top: 3), grid: grid, leastNumber: -32,
      blockSweeps: isThorough ? 3 : 1, starts: isThorough ? 6 : isWeighted ? 2 : 1,
      reach: isThorough ? 3 : 1)
  }

  @inline(__always)
  static func pack(
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
}

extension Q6_K: ScaledRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> ScaledBlocks {
    ScaledBlocks(
      width: 16, levels: .integers(least: -32, top: 31),
      grid: ScaleGrid(start: -32, first: -32.9, step: 0.1, steps: 19, sweeps: 1),
      leastNumber: -128, blockSweeps: isThorough ? 3 : 1, starts: isThorough ? 6 : 1,
      reach: isThorough ? 3 : 1)
  }

  @inline(__always)
  static func pack(
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
}

extension IQ4_XS: ScaledRounding {
  static func search(isWeighted: Bool, isThorough: Bool) -> ScaledBlocks {
    let grid =
      isWeighted || isThorough
      ? ScaleGrid(
        start: -127, first: -149, step: 4, steps: 8, mirroredFirst: 89, mirroredStep: 4,
        mirroredSteps: 12, sweeps: 2)
      : ScaleGrid(
        start: -127, first: -133, step: 4, steps: 4, mirroredFirst: 104, mirroredStep: 5,
        mirroredSteps: 6, sweeps: 1)
    return ScaledBlocks(
      width: 32, levels: .table, grid: grid, leastNumber: -32, blockSweeps: isThorough ? 3 : 1,
      starts: isThorough ? 6 : isWeighted ? 3 : 1, reach: isThorough ? 3 : 1)
  }

  @inline(__always)
  static func pack(
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
}
