/// What random bits mean in the blocks of a type whose codes matmuls use.
package struct RandomBits: Sendable {
  /// Where the float16 scale lies, in bytes from the block's start; a float16 minimum follows it if
  /// there are minimums.
  package let scaleOffset: Int
  /// Whether values have minimums.
  package let hasMinimums: Bool
  /// Standard deviation of the values if the float16 scale were 1: around 0 if signs of scales are
  /// random or minimums are `minimum`, after `prepare`.
  package let deviation: Float
  /// The float16 minimum that moves the mean to 0 if the float16 scale is 1; 0 without minimums.
  package let minimum: Float
  private let format: any CodedFormat.Type

  fileprivate init?<Format: CodedFormat>(_ format: Format.Type) {
    guard let scaleOffset = Format.scaleOffset else { return nil }
    self.scaleOffset = scaleOffset
    self.format = format
    hasMinimums = Format.hasMinimums
    let bits = Format.integerScaleBits
    /// Variance of numbers that are uniform over some neighboring integers.
    func variance(_ count: Int) -> Float { (Float(count) * Float(count) - 1) / 12 }
    guard Format.hasMinimums else {
      let meanSquareScale = bits > 0 ? variance(1 << bits) + 0.25 : 1
      deviation = (Format.meanSquareCode * meanSquareScale).squareRoot()
      minimum = 0
      return
    }
    let center = Float(Format.center) - 0.5
    var meanSquareScale: Float = 1
    if bits > 0 {
      // The upper half of the scales.
      let count = 1 << (bits - 1)
      let mean = 1.5 * Float(count) - 0.5
      meanSquareScale = variance(count) + mean * mean
    }
    deviation = (variance(2 * Int(Format.center)) * meanSquareScale).squareRoot()
    // Minimums that are multiples of an integer are subtracted.
    minimum = bits > 0 ? center : -center
  }

  /// Makes minimums of groups multiples of their scales, as the middle of the codes is.
  ///
  /// - Parameters:
  ///   - blocks: random bits, of any alignment.
  ///   - count: blocks.
  package func prepare(_ blocks: UnsafeMutableRawPointer, count: Int) {
    format.pairMinimumsWithScales(blocks, count: count)
  }
}

extension CodedFormat {
  fileprivate static func pairMinimumsWithScales(_ blocks: UnsafeMutableRawPointer, count: Int) {
    guard hasMinimums, integerScaleBits > 0 else { return }
    for block in 0..<count { pairMinimumsWithScales(blocks + block &* bytesPerBlock) }
  }
}

extension ElementType {
  /// What random bits mean in the type's blocks; nil where matmuls do not use its codes.
  package var randomBits: RandomBits? {
    guard let ggufID, let format = codedFormat(ggmlType: ggufID) else { return nil }
    return RandomBits(format)
  }
}
