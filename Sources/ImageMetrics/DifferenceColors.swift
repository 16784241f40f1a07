import Foundation
import Images

/// Colors for errors, from black over violet, red and orange to a pale yellow.
///
/// Lightness L\* rises in equal steps, so a greater error is always brighter, in print without
/// color and to color-blind eyes too. The hue turns at an even rate from violet to yellow, with the
/// most chroma halfway; at t in 0...1 the color is L\* = 97 t, chroma 66 · 4 t (1 − t), hue −70° +
/// 170° t, which stays inside what a screen can show.
enum DifferenceColors {
  /// Red, green and blue for 256 errors from none to the greatest.
  static let table: [SIMD3<UInt8>] = {
    let toLinear = SRGB.toRelativeXYZ.inverse
    return (0...255).map { step in
      let color = toLinear(CIELab.relativeXYZ(lab(Double(step) / 255)))
      return SIMD3(SRGB.sample(color.x), SRGB.sample(color.y), SRGB.sample(color.z))
    }
  }()

  /// The color of an error of 0...1 as L\*a\*b\*.
  static func lab(_ error: Double) -> SIMD3<Double> {
    let hue = (170 * error - 70) * Double.pi / 180
    let chroma = 66 * 4 * error * (1 - error)
    return SIMD3(97 * error, chroma * cos(hue), chroma * sin(hue))
  }
}

extension FLIPErrorMap {
  /// The errors as a picture: black where nothing is seen, brighter the more is seen.
  ///
  /// - Parameter brightest: the error that gets the brightest color; greater ones get it too. With
  ///   1, pictures of different pairs can be compared; a smaller one shows small errors.
  /// - Returns: a picture of the map's size.
  /// - Precondition: `brightest` is above 0.
  public func picture(brightest: Float = 1) -> RGBImage {
    precondition(brightest > 0)
    let colors = DifferenceColors.table
    let pixels = errors.flatMap { error in
      let level = error / brightest * 255
      let color = colors[level < 255 ? Int(level.rounded()) : 255]
      return [color.x, color.y, color.z]
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }
}
