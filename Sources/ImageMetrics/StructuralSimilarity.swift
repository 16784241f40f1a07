import Foundation
import Images

extension RGBImage {
  /// The structural similarity index (SSIM) of Wang et al., "Image quality assessment: from error
  /// visibility to structural similarity" (2004), equations 13 to 16.
  ///
  /// Gaussian windows of 11x11 pixels with a standard deviation of 1.5, K₁ = 0.01, K₂ = 0.03,
  /// dynamic range 255; the mean over the places where the whole window fits, then over red, green
  /// and blue. That is scikit-image's `structural_similarity` with `gaussian_weights=True`,
  /// `sigma=1.5`, `use_sample_covariance=False`.
  ///
  /// - Parameter reference: the picture that counts as right.
  /// - Returns: −1...1, 1 for pictures that are the same; nil where a side is shorter than the
  ///   window's 11 pixels.
  /// - Throws: `ImageMetricError.sizes` if the pictures differ in size.
  public func structuralSimilarity(to reference: RGBImage) throws(ImageMetricError) -> Double? {
    guard try commonSize(with: reference).shorterSide >= SimilarityWindow.length else {
      return nil
    }
    return SimilarityWindow.means(
      reference: ChannelPlanes(reference), picture: ChannelPlanes(self), border: .none
    ).similarity
  }
}

/// The window in which structural similarity compares pictures.
enum SimilarityWindow {
  /// Pixels per side: 3.5 standard deviations on each side of the middle.
  static let length = 2 * radius + 1

  private static let radius = 5

  /// Normalized weights of a Gaussian with a standard deviation of 1.5 pixels.
  private static let weights: [Double] = {
    let weights = (-radius...radius).map { exp(-Double($0 * $0) / (2 * 1.5 * 1.5)) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }()

  /// The constants that keep the quotients stable: (0.01 · 255)² and (0.03 · 255)².
  private static let stabilizers = (luminance: 2.55 * 2.55, contrast: 7.65 * 7.65)

  /// Means over all places and channels.
  struct Means {
    /// Of luminance, contrast and structure together, the SSIM.
    var similarity = 0.0
    /// Of contrast and structure alone.
    var contrast = 0.0
  }

  /// Compares two pictures of the same size.
  ///
  /// With border `.none` no side may be shorter than `length`, else than half of it.
  static func means(
    reference: ChannelPlanes, picture: ChannelPlanes, border: SlidingFilter.Border
  ) -> Means {
    var sums = Means()
    var count = 0
    for channel in 0..<3 {
      let passes = (0..<4).map { SlidingFilter.Pass(source: $0, weights: weights) }
      let filter = SlidingFilter(
        size: reference.size, border: border, radius: radius, sources: 4, across: passes,
        down: passes)
      count += filter.outputSize.count
      reference.withRows(of: channel) { reference in
        picture.withRows(of: channel) { picture in
          filter.run(
            read: { y, rows, stride in
              moments(reference(y), picture(y), filter: filter, rows, stride)
            },
            write: { _, rows, stride in
              add(rows, stride: stride, width: filter.outputSize.width, to: &sums)
            })
        }
      }
    }
    return Means(
      similarity: sums.similarity / Double(count), contrast: sums.contrast / Double(count))
  }

  /// Sum and difference of two rows, and their squares.
  ///
  /// They tell as much as both values, their squares and their product, with one filter less and
  /// without losing the small difference of pictures that are nearly the same.
  private static func moments(
    _ reference: UnsafeBufferPointer<Float>, _ picture: UnsafeBufferPointer<Float>,
    filter: SlidingFilter, _ rows: UnsafeMutablePointer<Double>, _ stride: Int
  ) {
    let (sums, differences) = (rows, rows + stride)
    let (sumSquares, differenceSquares) = (rows + 2 * stride, rows + 3 * stride)
    for x in 0..<reference.count {
      let (first, second) = (Double(reference[x]), Double(picture[x]))
      let (sum, difference) = (first + second, first - second)
      sums[x] = sum
      differences[x] = difference
      sumSquares[x] = sum * sum
      differenceSquares[x] = difference * difference
    }
  }

  /// Adds the indices of one row, from the filtered rows of `moments`.
  private static func add(
    _ rows: UnsafePointer<Double>, stride: Int, width: Int, to sums: inout Means
  ) {
    let (luminance, contrast) = stabilizers
    var result = sums
    for x in 0..<width {
      let (sum, difference) = (rows[x], rows[stride + x])
      let (sumSquare, differenceSquare) = (sum * sum, difference * difference)
      let sumVariance = rows[2 * stride + x] - sumSquare
      let differenceVariance = rows[3 * stride + x] - differenceSquare
      // With s = x + y and d = x − y: 2 μx μy = (μs² − μd²) / 2, μx² + μy² = (μs² + μd²) / 2, and
      // alike for the covariance and the variances.
      let structures =
        (0.5 * (sumVariance - differenceVariance) + contrast)
        / (0.5 * (sumVariance + differenceVariance) + contrast)
      let luminances =
        (0.5 * (sumSquare - differenceSquare) + luminance)
        / (0.5 * (sumSquare + differenceSquare) + luminance)
      result.similarity += luminances * structures
      result.contrast += structures
    }
    sums = result
  }
}
