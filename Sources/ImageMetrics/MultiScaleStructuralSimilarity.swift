import Foundation
import Images

/// The multi-scale structural similarity (MS-SSIM) of Wang, Simoncelli and Bovik, "Multi-scale
/// structural similarity for image quality assessment" (2003), equation 7.
public struct MultiScaleStructuralSimilarity: Equatable, Sendable {
  /// 0...1, 1 for pictures that are the same.
  public let value: Double
  /// Number of scales that the pictures were large enough for, 2...5.
  public let scaleCount: Int

  /// Exponents of the scales from fine to coarse, from the paper's experiment.
  static let weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]

  /// The exponents for a number of scales: the paper's, and with fewer than its five the first of
  /// them divided by their sum, so that they add up to one.
  static func weights(scaleCount: Int) -> [Double] {
    let first = weights.prefix(scaleCount)
    let sum = scaleCount == weights.count ? 1 : first.reduce(0, +)
    return first.map { $0 / sum }
  }

  /// The largest number of scales, up to five, at which no side is shorter than the window; nil if
  /// that is fewer than two, as one scale would be the plain index.
  static func scaleCount(_ size: PixelSize) -> Int? {
    (2...weights.count).last { size.shorterSide >> ($0 - 1) >= SimilarityWindow.length }
  }
}

extension RGBImage {
  /// The multi-scale structural similarity (MS-SSIM) of Wang et al. (2003).
  ///
  /// Each scale halves the one before by means of 2x2 pixels (a last odd row or column is left
  /// out). As many scales count as have no side shorter than the window of 11 pixels, at most five:
  /// five from 176 pixels on, four from 88, three from 44, two from 22. With fewer than five the
  /// paper's weights are divided by their sum.
  ///
  /// Windows and constants are those of `structuralSimilarity(to:)`. In all details the paper
  /// leaves open this is torchmetrics' `MultiScaleStructuralSimilarityIndexMeasure`: red, green and
  /// blue count together at each scale; contrast and structure are means over the places where the
  /// whole window fits, while the index of the coarsest scale is a mean over all places with the
  /// picture mirrored at its edges; negative means count as 0.
  ///
  /// - Parameter reference: the picture that counts as right.
  /// - Returns: nil where not even two scales fit, that is with a side shorter than 22 pixels.
  /// - Throws: `ImageMetricError.sizes` if the pictures differ in size.
  public func multiScaleStructuralSimilarity(
    to reference: RGBImage
  ) throws(ImageMetricError) -> MultiScaleStructuralSimilarity? {
    let size = try commonSize(with: reference)
    guard let scaleCount = MultiScaleStructuralSimilarity.scaleCount(size) else { return nil }
    let (reference, picture) = (ChannelPlanes(reference), ChannelPlanes(self))
    let finest = SimilarityWindow.means(reference: reference, picture: picture, border: .none)
    return .init(reference, picture, finest: finest, scaleCount: scaleCount)
  }
}

extension MultiScaleStructuralSimilarity {
  /// Goes on from what is known of the finest scale.
  init(
    _ reference: ChannelPlanes, _ picture: ChannelPlanes, finest: SimilarityWindow.Means,
    scaleCount: Int
  ) {
    var means = [finest.contrast]
    var (reference, picture) = (reference, picture)
    for scale in 1..<scaleCount {
      (reference, picture) = (reference.halved(), picture.halved())
      let isCoarsest = scale == scaleCount - 1
      let result = SimilarityWindow.means(
        reference: reference, picture: picture, border: isCoarsest ? .mirror : .none)
      means.append(isCoarsest ? result.similarity : result.contrast)
    }
    value = zip(means, Self.weights(scaleCount: scaleCount))
      .reduce(1) { $0 * pow(max($1.0, 0), $1.1) }
    self.scaleCount = scaleCount
  }
}
