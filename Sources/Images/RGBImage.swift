/// An 8-bit RGB picture.
public struct RGBImage: Equatable, Sendable {
  /// Pixels per row.
  public let width: Int
  /// Number of rows.
  public let height: Int
  /// Red, green and blue of each pixel, row by row from the top.
  public let pixels: [UInt8]

  /// Makes a picture from its pixels.
  ///
  /// - Precondition: `pixels` holds `3 · width · height` bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(pixels.count == 3 * width * height)
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Makes a picture from channel planes in −1...1, as a VAE decoder returns them.
  ///
  /// Values are clamped and rounded half to even, as numpy rounds in the reference.
  ///
  /// - Parameters:
  ///   - width: pixels per row.
  ///   - height: number of rows.
  ///   - rowsAtOnce: rows that are asked for together, so that the planes need not be copied as a
  ///     whole.
  ///   - planes: red, green and blue plane of some rows, `[3, rows · width]`.
  /// - Throws: what `planes` throws.
  package init<Failure: Error>(
    width: Int, height: Int, rowsAtOnce: Int = 64,
    planes: (_ rows: Range<Int>) throws(Failure) -> [Float]
  ) throws(Failure) {
    var pixels = [UInt8](repeating: 0, count: 3 * width * height)
    for first in stride(from: 0, to: height, by: max(1, rowsAtOnce)) {
      let rows = first..<min(height, first + max(1, rowsAtOnce))
      let values = try planes(rows)
      let count = rows.count * width
      precondition(values.count == 3 * count)
      for channel in 0..<3 {
        for index in 0..<count {
          let value = values[channel * count + index] * 0.5 + 0.5
          // Written so that NaN becomes 0 instead of a trap; callers check for NaN before.
          let clamped = value > 0 ? min(value, 1) : 0
          pixels[3 * (first * width + index) + channel] = UInt8(
            (clamped * 255).rounded(.toNearestOrEven))
        }
      }
    }
    self.init(width: width, height: height, pixels: pixels)
  }
}
