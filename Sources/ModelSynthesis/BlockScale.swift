import BlockFormats

/// The scales that give blocks of random bits a mean of 0 and a wanted standard deviation.
struct BlockScale: Sendable {
  private let bits: RandomBits
  /// Bits of the float16 scale and minimum.
  private let scale, minimum: UInt16

  /// - Parameters:
  ///   - bits: what random bits mean in the type's blocks.
  ///   - standardDeviation: of the dequantized values.
  init(_ bits: RandomBits, standardDeviation: Float) {
    self.bits = bits
    let rounded = Float16(standardDeviation / bits.deviation)
    scale = rounded.bitPattern
    minimum = Float16(Float(rounded) * bits.minimum).bitPattern
  }

  /// Writes scales and minimums into blocks of random bits.
  ///
  /// - Parameters:
  ///   - blocks: the first block, of any alignment.
  ///   - count: blocks.
  ///   - size: bytes of a block.
  func apply(to blocks: UnsafeMutableRawPointer, count: Int, size: Int) {
    bits.prepare(blocks, count: count)
    let first = blocks + bits.scaleOffset
    for block in 0..<count {
      let place = first + block &* size
      if bits.hasMinimums {
        Self.store(scale, to: place)
        Self.store(minimum, to: place + 2)
      } else {
        // The sign is left to chance.
        Self.store(scale | Self.load(place) & 0x8000, to: place)
      }
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
