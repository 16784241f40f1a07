// ggml's early block formats, quantized as its reference does, in one pass without a search. Codes
// are made with the scale before it is rounded to float16 (gguf-py 0.19 `quants.py`).
import BlockFormats
import KernelInterface

/// 32 values of a block.
private struct Run {
  let a, b, c, d: Floats8

  @_transparent
  init(_ values: UnsafePointer<Float>) {
    (a, b, c, d) = (values.lanes(0), values.lanes(8), values.lanes(16), values.lanes(24))
  }

  @_transparent
  init(_ a: Floats8, _ b: Floats8, _ c: Floats8, _ d: Floats8) {
    (self.a, self.b, self.c, self.d) = (a, b, c, d)
  }

  @_transparent
  func map(_ change: (Floats8) -> Floats8) -> Run {
    Run(change(a), change(b), change(c), change(d))
  }

  /// The same, or zeros.
  @_transparent
  func unless(_ isVoid: Bool) -> Run {
    isVoid ? map { _ in Floats8(repeating: 0) } : self
  }

  @_transparent
  var least: Float { smaller(smaller(a, b), smaller(c, d)).least }

  @_transparent
  var largest: Float { larger(larger(a, b), larger(c, d)).largest }

  /// Whether all values are finite: zero times another number is NaN.
  @_transparent
  var isFinite: Bool {
    let zeros = map { $0 * Floats8(repeating: 0) }
    let sums: Floats8 = (zeros.a + zeros.b) + (zeros.c + zeros.d)
    return sums.total == 0
  }
}

/// The scale of a block as it is stored, and the factor that makes codes of values.
private struct BlockScale {
  let stored: Float
  let factor: Float
  /// Whether codes are zero: the scale is so small that its inverse is infinite, or none.
  let isVoid: Bool

  /// A scale beyond float16's range becomes the end of it; that of values which are not all finite
  /// becomes NaN.
  @_transparent
  init(_ scale: Float, isFinite: Bool) {
    let limited = inHalfRange(scale)
    let inverse = limited == 0 ? 0 : 1 / limited
    isVoid = !isFinite || inverse.magnitude == .infinity
    stored = isFinite ? limited : .nan
    factor = isVoid ? 0 : inverse
  }
}

/// The value, or the largest float16 where rounding would make it infinite.
@_transparent
func inHalfRange(_ value: Float) -> Float {
  if value >= 65520 { return 65504 }
  if value <= -65520 { return -65504 }
  return value
}

/// The format that is never searched: its error is small whatever counts.
extension Q8_0 {
  static var hasRounding: Bool { true }

  static func roundRows(_ rows: RowsToRound) {
    roundToQ8_0(rows.values, count: rows.rows &* rows.columns, into: rows.blocks)
  }
}

/// Formats that are quantized without a search unless errors count differently or it is to be
/// thorough.
protocol DirectRounding: SearchedRounding {}

extension DirectRounding {
  static func roundRows(_ rows: RowsToRound) {
    if rows.importance == nil && !rows.isThorough {
      roundDirectly(rows.values, count: rows.rows &* rows.columns, into: rows.blocks)
    } else {
      roundToSearchedBlocks(rows, as: Self.self)
    }
  }

  @inline(never)
  private static func roundDirectly(
    _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer
  ) {
    if hasMinimums {
      roundFromMinimum(values, count: count, into: blocks, fiveBits: hasFifthBits)
    } else {
      roundAroundZero(values, count: count, into: blocks, fiveBits: hasFifthBits)
    }
  }
}

extension Q4_0: DirectRounding {
  static let hasFifthBits = false
  @_transparent
  static var roundingLevels: Levels { .integers(least: -8, top: 7) }
}

extension Q4_1: DirectRounding {
  static let hasFifthBits = false
  @_transparent
  static var roundingLevels: Levels { .integers(least: 0, top: 15) }
}

extension Q5_0: DirectRounding {
  static let hasFifthBits = true
  @_transparent
  static var roundingLevels: Levels { .integers(least: -16, top: 15) }
}

extension Q5_1: DirectRounding {
  static let hasFifthBits = true
  @_transparent
  static var roundingLevels: Levels { .integers(least: 0, top: 31) }
}

/// Quantizes to signed bytes, halves away from zero.
@inline(never)
private func roundToQ8_0(
  _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer
) {
  for index in 0..<count / 32 {
    let block = blocks + 34 &* index
    let x = Run(values + 32 &* index)
    let scale = BlockScale(x.map { $0.magnitudes }.largest / 127, isFinite: x.isFinite)
    let codes = x.map { roundedAwayFromZero($0 * scale.factor) }.unless(scale.isVoid)
    storeHalf(scale.stored, block, at: 0)
    block.storeBytes(of: bytes(codes.a, codes.b), toByteOffset: 2, as: SIMD16<UInt8>.self)
    block.storeBytes(of: bytes(codes.c, codes.d), toByteOffset: 18, as: SIMD16<UInt8>.self)
  }
}

/// The nearest integers within ±127, away from zero in the middle.
@_transparent
private func roundedAwayFromZero(_ x: Floats8) -> Floats8 {
  let magnitude = smaller(x.magnitudes, Floats8(repeating: 127))
  let even = magnitude.rounded
  let rounded = even + Floats8(repeating: 1).zero(unless: magnitude - even .== 0.5)
  return (0 - rounded).replacing(with: rounded, where: x .> 0)
}

@_transparent
private func roundAroundZero(
  _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer, fiveBits: Bool
) {
  let half: Float = fiveBits ? 16 : 8
  for index in 0..<count / 32 {
    let block = blocks + (fiveBits ? 22 : 18) &* index
    let x = Run(values + 32 &* index)
    let scale = BlockScale(
      extreme(x, values + 32 &* index) / -half, isFinite: x.isFinite)
    let codes = x.map { truncated($0 * scale.factor + (half + 0.5), below: 2 * half) }
    storeHalf(scale.stored, block, at: 0)
    store(codes.unless(scale.isVoid), fiveBits: fiveBits, at: block + 2)
  }
}

/// The value of the largest magnitude, the first of those.
@_transparent
private func extreme(_ x: Run, _ values: UnsafePointer<Float>) -> Float {
  let (least, largest) = (x.least, x.largest)
  if largest > -least { return largest }
  if largest < -least { return least }
  for index in 0..<32 where values[index].magnitude == largest { return values[index] }
  return largest
}

@_transparent
private func roundFromMinimum(
  _ values: UnsafePointer<Float>, count: Int, into blocks: UnsafeMutableRawPointer, fiveBits: Bool
) {
  let steps: Float = fiveBits ? 31 : 15
  for index in 0..<count / 32 {
    let block = blocks + (fiveBits ? 24 : 20) &* index
    let x = Run(values + 32 &* index)
    let minimum = inHalfRange(least(x, values + 32 &* index))
    let scale = BlockScale((x.largest - minimum) / steps, isFinite: x.isFinite)
    let codes = x.map { truncated(($0 - minimum) * scale.factor + 0.5, below: steps + 1) }
    storeHalf(scale.stored, block, at: 0)
    storeHalf(x.isFinite ? minimum : .nan, block, at: 2)
    store(codes.unless(scale.isVoid), fiveBits: fiveBits, at: block + 4)
  }
}

/// The least value; of zeros of both signs the last, as numpy has it.
@_transparent
private func least(_ x: Run, _ values: UnsafePointer<Float>) -> Float {
  let least = x.least
  if least != 0 { return least }
  for index in (0..<32).reversed() where values[index] == 0 { return values[index] }
  return least
}

/// Truncated to integers from 0 to less than `limit`.
@_transparent
private func truncated(_ x: Floats8, below limit: Float) -> Floats8 {
  let bounded = smaller(larger(x, Floats8(repeating: 0)), Floats8(repeating: limit - 0.5))
  let near = bounded.rounded
  return near - Floats8(repeating: 1).zero(unless: near .> bounded)
}

/// Writes the fifth bits, if there are any, and the nibbles.
@_transparent
private func store(_ codes: Run, fiveBits: Bool, at block: UnsafeMutableRawPointer) {
  let low = bytes(codes.a, codes.b)
  let high = bytes(codes.c, codes.d)
  if fiveBits { storeBits(low &>> 4, high &>> 4, block, at: 0) }
  block.storeBytes(
    of: low & 15 | high &<< 4, toByteOffset: fiveBits ? 4 : 0, as: SIMD16<UInt8>.self)
}

/// Integral values as bytes, negative ones modulo 256.
@_transparent
func bytes(_ first: Floats8, _ second: Floats8) -> SIMD16<UInt8> {
  SIMD16(lowHalf: first.bytes, highHalf: second.bytes)
}

/// Writes 32 bits from bytes of 0 or 1.
@_transparent
func storeBits(
  _ low: SIMD16<UInt8>, _ high: SIMD16<UInt8>, _ target: UnsafeMutableRawPointer, at offset: Int
) {
  let first = unsafeBitCast(low, to: SIMD2<UInt64>.self)
  let second = unsafeBitCast(high, to: SIMD2<UInt64>.self)
  target.storeBytes(of: gatherBits(first[0]), toByteOffset: offset, as: UInt8.self)
  target.storeBytes(of: gatherBits(first[1]), toByteOffset: offset &+ 1, as: UInt8.self)
  target.storeBytes(of: gatherBits(second[0]), toByteOffset: offset &+ 2, as: UInt8.self)
  target.storeBytes(of: gatherBits(second[1]), toByteOffset: offset &+ 3, as: UInt8.self)
}

/// Eight bytes of 0 or 1 as the bits of one, the lowest byte first.
@_transparent
func gatherBits(_ bytes: UInt64) -> UInt8 {
  UInt8(truncatingIfNeeded: (bytes &* 0x0102_0408_1020_4080) &>> 56)
}
