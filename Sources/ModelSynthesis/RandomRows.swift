import BlockFormats

/// Makes rows of random weights in a stored type: mean 0 and a given standard deviation.
///
/// Quantized blocks are made directly: codes are random bits, and only scales and minimums are
/// chosen. Where a format's codes are not centered, a minimum centers them or, where it has none,
/// half of the blocks get a negative scale.
package struct RandomRows: Sendable {
  /// Types that can be made.
  package static let types = ElementType.allCases.filter { type in
    type.isConversionTarget && (!type.isBlockQuantized || type.randomBits != nil)
  }

  private enum Filling: Sendable {
    /// Plain numbers are picked from evenly spaced values.
    case halves([UInt16])
    case floats([UInt32])
    case blocks(BlockScale)
  }

  private let type: ElementType
  private let filling: Filling

  /// - Parameters:
  ///   - type: one of `types`.
  ///   - standardDeviation: of the dequantized values.
  package init(_ type: ElementType, standardDeviation: Float) {
    self.type = type
    switch type {
    case .f16:
      filling = .halves(Self.levels(standardDeviation).map { Float16($0).bitPattern })
    case .bf16:
      filling = .halves(
        Self.levels(standardDeviation).map {
          UInt16(truncatingIfNeeded: ($0.bitPattern + 0x8000) >> 16)
        })
    case .f32: filling = .floats(Self.levels(standardDeviation).map(\.bitPattern))
    default:
      guard let bits = type.randomBits else {
        preconditionFailure("\(type.name) has no random blocks")
      }
      filling = .blocks(BlockScale(bits, standardDeviation: standardDeviation))
    }
  }

  /// Writes one row.
  ///
  /// - Parameters:
  ///   - row: where it goes; whole elements or blocks.
  ///   - seed: the same seed gives the same bytes.
  package func fill(_ row: UnsafeMutableRawBufferPointer, seed: UInt64) {
    var numbers = RandomNumbers(seed: seed)
    switch filling {
    case .halves(let levels): Self.pick(levels, row, &numbers)
    case .floats(let levels): Self.pick(levels, row, &numbers)
    case .blocks(let scale):
      Self.fillBits(row, &numbers)
      guard let base = row.baseAddress else { return }
      scale.apply(to: base, count: row.count / type.bytesPerBlock, size: type.bytesPerBlock)
    }
  }

  /// Number of values to pick from: their bits must be a divisor of 64, their table fit the
  /// nearest cache.
  private static let levelCount = 4096

  /// Evenly spaced values around 0 of a standard deviation.
  private static func levels(_ standardDeviation: Float) -> [Float] {
    // Of n values spaced by 1 the variance is (n² - 1) / 12.
    let count = Float(levelCount)
    let spacing = standardDeviation / ((count * count - 1) / 12).squareRoot()
    return (0..<levelCount).map { (Float($0) - (count - 1) / 2) * spacing }
  }

  private static func pick<Bits: FixedWidthInteger>(
    _ levels: [Bits], _ row: UnsafeMutableRawBufferPointer, _ numbers: inout RandomNumbers
  ) {
    let count = row.count / MemoryLayout<Bits>.size
    levels.withUnsafeBufferPointer { levels in
      var index = 0
      while index < count {
        var bits = numbers.next()
        for _ in 0..<min(4, count - index) {
          row.storeBytes(
            of: levels[Int(truncatingIfNeeded: bits) & (levelCount - 1)].littleEndian,
            toByteOffset: index &* MemoryLayout<Bits>.size, as: Bits.self)
          bits >>= 16
          index &+= 1
        }
      }
    }
  }

  private static func fillBits(
    _ row: UnsafeMutableRawBufferPointer, _ numbers: inout RandomNumbers
  ) {
    var offset = 0
    while offset &+ 8 <= row.count {
      row.storeBytes(of: numbers.next().littleEndian, toByteOffset: offset, as: UInt64.self)
      offset &+= 8
    }
    var rest = numbers.next()
    while offset < row.count {
      row[offset] = UInt8(truncatingIfNeeded: rest)
      rest >>= 8
      offset &+= 1
    }
  }
}
