// The files of this folder state how ggml lays out its quantized blocks. They are compiled into
// `BlockFormats` and, through a link to the folder, into each target that holds kernels for one
// kind of CPU, so that unpacking uses that CPU's registers. Therefore they take and return raw
// memory only.

/// The byte layout of one quantized block: small integer codes, and a scale for each group of them.
///
/// The value of an element is `scale · code`, or `scale · code + minimum` in formats that have
/// minimums. Products and sums are rounded one by one, which makes values bit-exact with gguf-py's
/// `quants.dequantize`. Layouts follow ggml's `dequantize_row_*` (commit d99724f2).
///
/// Each target that compiles this folder states in `FormatOperations` what it does with whole rows
/// of blocks, as default implementations: called through a format's type, they are specialized for
/// that format.
protocol BlockFormat: FormatOperations {
  /// The format's number in GGUF files (`enum ggml_type`).
  static var ggmlType: UInt32 { get }
  static var elementsPerBlock: Int { get }
  static var bytesPerBlock: Int { get }
  /// Elements that share a scale: 16 or 32 where matmuls use the codes.
  static var groupWidth: Int { get }
  /// Whether values have a minimum, which makes codes unsigned.
  static var hasMinimums: Bool { get }
  /// The middle of the range of codes: what lies half way between the least and the largest.
  static var center: Int8 { get }
  /// Where the block's float16 scale lies, in bytes from its start; a float16 minimum follows it
  /// where there are minimums. Nil if the scale is not a float16 number or lies in pieces.
  static var scaleOffset: Int? { get }

  /// Unpacks one block into codes, scales and minimums.
  ///
  /// - Parameters:
  ///   - block: `bytesPerBlock` readable bytes, of any alignment.
  ///   - codes: room for `elementsPerBlock` codes, in the order of the elements.
  ///   - scales: room for one scale a group.
  ///   - minimums: room for one minimum a group; not written unless `hasMinimums`.
  static func unpack(
    _ block: UnsafeRawPointer, codes: UnsafeMutablePointer<Int8>,
    scales: UnsafeMutablePointer<Float>, minimums: UnsafeMutablePointer<Float>)
}

/// A format whose codes matmuls use: those of `codedFormat`.
protocol CodedFormat: BlockFormat {
  /// Bound on the magnitude of the codes, after their middle is taken away in formats with
  /// minimums.
  static var largestCode: Int { get }
  /// Mean square of the signed codes of random bits; not read for formats with minimums.
  static var meanSquareCode: Float { get }
  /// Bits of the integer that each group's scale is a multiple of the block's by, signed in formats
  /// without minimums; 0 where groups have float16 scales of their own.
  static var integerScaleBits: Int { get }

  /// Makes the integer scales of a block of random bits at least half as large as they can be, and
  /// each group's minimum equal to its scale; for formats that have both.
  static func pairMinimumsWithScales(_ block: UnsafeMutableRawPointer)
}

/// A format whose scales are small integers times one factor for the whole block of 256, for
/// products that sum up a block's groups as integers.
protocol IntegerScaledFormat: CodedFormat {
  /// The scales of one block as they are stored.
  ///
  /// - Parameter block: `bytesPerBlock` readable bytes, of any alignment.
  /// - Returns: the factor, and a signed byte for each group in order; formats of eight groups use
  ///   the first eight.
  static func integerScales(_ block: UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>)
}

extension BlockFormat {
  static var hasMinimums: Bool { false }
  static var center: Int8 { 0 }
  static var scaleOffset: Int? { 0 }
}

extension CodedFormat {
  /// Codes from -n to n - 1: their variance and the square of their mean, 1/4.
  static var meanSquareCode: Float {
    let count = Float(2 * largestCode)
    return (count * count - 1) / 12 + 0.25
  }
  static var integerScaleBits: Int { 0 }
  static func pairMinimumsWithScales(_ block: UnsafeMutableRawPointer) {}
}

extension UnsafeRawPointer {
  /// The byte at an offset.
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }

  /// The little-endian number at an offset.
  @inline(__always)
  func word32(_ offset: Int) -> UInt32 {
    UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// The little-endian float16 at an offset, as float32.
  @inline(__always)
  func half(_ offset: Int) -> Float {
    float(half: UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }

  @inline(__always)
  func bytes16(_ offset: Int) -> SIMD16<UInt8> {
    loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self)
  }

  @inline(__always)
  func bytes32(_ offset: Int) -> Bytes32 {
    Bytes32(words: loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self))
  }
}

extension UnsafeMutablePointer<Int8> {
  /// Writes 16 codes, `offset` modulo 256.
  @inline(__always)
  func store(_ codes: SIMD16<UInt8>, minus offset: UInt8 = 0, at index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(
      of: codes &- SIMD16(repeating: offset), as: SIMD16<UInt8>.self)
  }

  /// Writes 32 codes.
  @inline(__always)
  func store(_ codes: Bytes32, at index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(of: codes.words, as: SIMD4<UInt64>.self)
  }

  /// Writes 32 codes below 128, each less `offset`.
  @inline(__always)
  func store(_ codes: Bytes32, minus offset: UInt8, at index: Int) {
    // With the upper bit set no byte borrows from the next.
    let upper = Bytes32.repeating(0x80)
    let difference = (codes.words | upper) &- Bytes32.repeating(offset)
    store(Bytes32(words: difference ^ upper), at: index)
  }
}

/// 32 bytes in four words: on vectors of more than 16 lanes Swift's operators are loops.
struct Bytes32 {
  var words: SIMD4<UInt64>

  @inline(__always)
  static func repeating(_ byte: UInt8) -> SIMD4<UInt64> {
    SIMD4(repeating: UInt64(byte) &* 0x0101_0101_0101_0101)
  }

  @inline(__always)
  static func & (bytes: Bytes32, mask: UInt8) -> Bytes32 {
    Bytes32(words: bytes.words & repeating(mask))
  }

  @inline(__always)
  static func | (a: Bytes32, b: Bytes32) -> Bytes32 { Bytes32(words: a.words | b.words) }

  @inline(__always)
  static func &>> (bytes: Bytes32, count: UInt64) -> Bytes32 {
    Bytes32(words: bytes.words &>> count) & (0xFF &>> UInt8(truncatingIfNeeded: count))
  }

  /// The bits that leave a byte must be zero.
  @inline(__always)
  static func &<< (bytes: Bytes32, count: UInt64) -> Bytes32 {
    Bytes32(words: bytes.words &<< count)
  }
}

extension UnsafeMutablePointer<Float> {
  /// Writes the scales of a block of 16 groups, or of 8 if `count` is that.
  @inline(__always)
  func store(_ block: (factor: Float, scales: SIMD2<UInt64>), count: Int) {
    storeProducts(block.factor, signed: block.scales[0], at: 0)
    if count > 8 { storeProducts(block.factor, signed: block.scales[1], at: 8) }
  }

  /// Writes `factor` times each of eight signed bytes.
  @inline(__always)
  func storeProducts(_ factor: Float, signed bytes: UInt64, at index: Int) {
    UnsafeMutableRawPointer(self + index).storeBytes(
      of: floats(numbers(signed: bytes)) * factor, as: SIMD8<Float>.self)
  }
}

/// The bits of a byte as eight bytes of 0 or 1, the lowest bit first.
@inline(__always)
func spreadBits(_ byte: UInt8) -> UInt64 {
  let selected = (UInt64(byte) &* 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201
  return ((selected &+ 0x7F7F_7F7F_7F7F_7F7F) >> 7) & 0x0101_0101_0101_0101
}
