import Foundation
import Images

extension RGBImage {
  /// The peak signal-to-noise ratio (PSNR) over all pixels and channels, in decibels.
  ///
  /// `10 log₁₀(255² / mean squared error)`, as scikit-image's `peak_signal_noise_ratio` has it for
  /// `data_range=255`. The squared error is summed in integers, so the result is exact up to the
  /// rounding of one division and one logarithm.
  ///
  /// - Parameter reference: the picture that counts as right.
  /// - Returns: decibels; infinity for pictures that are the same (also for pictures without
  ///   pixels).
  /// - Throws: `ImageMetricError.sizes` if the pictures differ in size.
  public func peakSignalToNoiseRatio(
    to reference: RGBImage
  ) throws(ImageMetricError) -> Double {
    _ = try commonSize(with: reference)
    let squaredError = pixels.withUnsafeBufferPointer { pixels in
      reference.pixels.withUnsafeBufferPointer { others in
        var sum = 0
        for index in 0..<pixels.count {
          let difference = Int(pixels[index]) &- Int(others[index])
          sum &+= difference &* difference
        }
        return sum
      }
    }
    guard squaredError > 0 else { return .infinity }
    return 10 * log10(255 * 255 / (Double(squaredError) / Double(pixels.count)))
  }
}
