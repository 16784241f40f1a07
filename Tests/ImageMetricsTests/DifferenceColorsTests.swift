import Foundation
import ImageMetrics
import Images
import Testing

/// The colors of difference maps.
@Suite struct DifferenceColorsTests {
  /// All 256 colors, from no error to the greatest.
  private var colors: [[UInt8]] {
    let errors = (0...255).map { Float($0) / 255 }
    let pixels = FLIPErrorMap(width: 256, height: 1, errors: errors).picture().pixels
    return (0..<256).map { Array(pixels[3 * $0..<3 * $0 + 3]) }
  }

  /// CIE lightness of a color, from the luminance of IEC 61966-2-1.
  private func lightness(_ color: [UInt8]) -> Double {
    let linear = color.map { sample -> Double in
      let value = Double(sample) / 255
      return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
    }
    let luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return luminance > 0.008856 ? 116 * cbrt(luminance) - 16 : 903.3 * luminance
  }

  @Test("Lightness rises in equal steps from black to 97, so no color was clamped")
  func lightnessIsEven() {
    #expect(colors[0] == [0, 0, 0])
    for (step, color) in colors.enumerated() {
      // Half a sample of each channel changes lightness by at most 0.25 where the curve is
      // steepest, near black; elsewhere by less.
      #expect(abs(lightness(color) - 97 * Double(step) / 255) < 0.3, "step \(step)")
    }
  }

  @Test("No two errors that differ by a step look the same, and none is gray between the ends")
  func colorsDiffer() {
    #expect(Set(colors).count == 256)
    for color in colors[32..<224] {
      let chroma = Int(color.max() ?? 0) - Int(color.min() ?? 0)
      #expect(chroma > 32)
    }
  }

  @Test("Errors are scaled to the brightest color and clamped there")
  func scaling() {
    let map = FLIPErrorMap(width: 2, height: 2, errors: [0, 0.05, 0.1, 1])
    let pixels = map.picture(brightest: 0.1).pixels
    #expect(Array(pixels[0..<3]) == colors[0])
    #expect(Array(pixels[3..<6]) == colors[128])
    #expect(Array(pixels[6..<9]) == colors[255])
    #expect(Array(pixels[9..<12]) == colors[255])
    #expect(Array(map.picture().pixels[3..<6]) == colors[13])
  }
}
