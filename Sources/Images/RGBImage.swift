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
  ///   - planes: red, green and blue plane, each `width · height` values.
  ///   - width: pixels per row.
  ///   - height: number of rows.
  package init(planes: UnsafeBufferPointer<Float>, width: Int, height: Int) {
    let count = width * height
    precondition(planes.count == 3 * count)
    var pixels = [UInt8](repeating: 0, count: 3 * count)
    for channel in 0..<3 {
      for index in 0..<count {
        let value = planes[channel * count + index] * 0.5 + 0.5
        // Written so that NaN becomes 0 instead of a trap; callers check for NaN before.
        let clamped = value > 0 ? min(value, 1) : 0
        pixels[3 * index + channel] = UInt8((clamped * 255).rounded(.toNearestOrEven))
      }
    }
    self.init(width: width, height: height, pixels: pixels)
  }
}
