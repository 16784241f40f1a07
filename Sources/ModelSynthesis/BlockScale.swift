import BlockFormats

/// The scales that give a block of random bits a mean of 0 and a wanted standard deviation.
///
/// Layouts: BlockFormats/Layouts. Below, "uniform over n codes" has the variance (n² - 1) / 12.
struct BlockScale: Sendable {
  private enum Place: Sendable {
    /// A float16 scale whose sign is left to chance.
    case signed(offset: Int)
    /// A float16 scale, and a minimum behind it.
    case centered(offset: Int)
    /// 16 bytes of nibbles for scales and minimums, then as `centered`.
    case nibbles(offset: Int)
    /// As `centered`, then 12 bytes of 6-bit scales and minimums.
    case sixBits
  }

  private let place: Place
  /// Bits of the float16 scale and minimum.
  private let scale, minimum: UInt16

  /// - Parameters:
  ///   - type: a quantized type.
  ///   - standardDeviation: of the decoded values.
  init(_ type: ElementType, standardDeviation: Float) {
    /// What the values would deviate by if the float16 scale were 1, and the middle of the codes.
    let unit: Float
    var middle: Float = 0
    switch type {
    // Codes from -2ⁿ to 2ⁿ - 1: the variance and the square of their mean, 1/4.
    case .q4_0: (place, unit) = (.signed(offset: 0), Self.root(255.0 / 12 + 0.25))
    case .q5_0: (place, unit) = (.signed(offset: 0), Self.root(1023.0 / 12 + 0.25))
    case .q8_0: (place, unit) = (.signed(offset: 0), Self.root(65_535.0 / 12 + 0.25))
    case .iq4_nl: (place, unit) = (.signed(offset: 0), Self.root(Self.meanSquareOfLevels))
    // The same times scales that are uniform over their whole range.
    case .iq4_xs:
      (place, unit) = (
        .signed(offset: 0), Self.root(Self.meanSquareOfLevels * (4095.0 / 12 + 0.25))
      )
    case .q3_K:
      (place, unit) = (
        .signed(offset: 108), Self.root((63.0 / 12 + 0.25) * (4095.0 / 12 + 0.25))
      )
    case .q6_K:
      (place, unit) = (
        .signed(offset: 208), Self.root((4095.0 / 12 + 0.25) * (65_535.0 / 12 + 0.25))
      )
    case .q4_1: (place, unit, middle) = (.centered(offset: 0), Self.root(255.0 / 12), -7.5)
    case .q5_1: (place, unit, middle) = (.centered(offset: 0), Self.root(1023.0 / 12), -15.5)
    // Scales of 8...15: variance 63/12 around 11.5.
    case .q2_K:
      (place, unit, middle) = (
        .nibbles(offset: 80), Self.root(15.0 / 12 * (63.0 / 12 + 11.5 * 11.5)), 1.5
      )
    // Scales of 32...63: variance 1023/12 around 47.5.
    case .q4_K:
      (place, unit, middle) = (
        .sixBits, Self.root(255.0 / 12 * (1023.0 / 12 + 47.5 * 47.5)), 7.5
      )
    case .q5_K:
      (place, unit, middle) = (
        .sixBits, Self.root(1023.0 / 12 * (1023.0 / 12 + 47.5 * 47.5)), 15.5
      )
    default: preconditionFailure("\(type.name) has no random blocks")
    }
    let rounded = Float16(standardDeviation / unit)
    scale = rounded.bitPattern
    minimum = Float16(Float(rounded) * middle).bitPattern
  }

  /// Mean square of the sixteen levels of IQ4_NL and IQ4_XS.
  private static let meanSquareOfLevels: Float = 72_768.0 / 16

  private static func root(_ value: Float) -> Float { value.squareRoot() }

  /// Writes scales and minimums into a block of random bits.
  @inline(__always)
  func apply(to block: UnsafeMutableRawPointer) {
    switch place {
    case .signed(let offset):
      let sign = Self.load(block + offset) & 0x8000
      Self.store(scale | sign, to: block + offset)
    case .centered(let offset):
      Self.store(scale, to: block + offset)
      Self.store(minimum, to: block + offset + 2)
    case .nibbles(let offset):
      // Each minimum is its scale's multiple, as the middle of the codes is.
      let words = block.loadUnaligned(as: SIMD2<UInt64>.self)
      let scales = words & 0x0707_0707_0707_0707 | 0x0808_0808_0808_0808
      block.storeBytes(of: scales | scales &<< 4, as: SIMD2<UInt64>.self)
      Self.store(scale, to: block + offset)
      Self.store(minimum, to: block + offset + 2)
    case .sixBits:
      // Two upper bits of the later scales lie above the six bits of the earlier ones; the highest
      // bit of each is set. Minimums equal scales.
      let first = block.loadUnaligned(fromByteOffset: 4, as: UInt32.self) | 0xA0A0_A0A0
      let low = block.loadUnaligned(fromByteOffset: 12, as: UInt32.self) & 0x0F0F_0F0F
      block.storeBytes(of: first, toByteOffset: 4, as: UInt32.self)
      block.storeBytes(of: first, toByteOffset: 8, as: UInt32.self)
      block.storeBytes(of: low | low << 4, toByteOffset: 12, as: UInt32.self)
      Self.store(scale, to: block)
      Self.store(minimum, to: block + 2)
    }
  }

  @inline(__always)
  private static func load(_ place: UnsafeMutableRawPointer) -> UInt16 {
    UInt16(littleEndian: place.loadUnaligned(as: UInt16.self))
  }

  @inline(__always)
  private static func store(_ bits: UInt16, to place: UnsafeMutableRawPointer) {
    place.storeBytes(of: bits.littleEndian, as: UInt16.self)
  }
}
