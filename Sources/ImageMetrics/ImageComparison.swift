import Images

/// How a picture differs from a reference, by every measure.
public struct ImageComparison: Sendable {
  /// In decibels; infinity for pictures that are the same.
  public let peakSignalToNoiseRatio: Double
  /// −1...1; nil for pictures with a side shorter than 11 pixels.
  public let structuralSimilarity: Double?
  /// 0...1 with the number of scales; nil for pictures with a side shorter than 22 pixels.
  public let multiScaleStructuralSimilarity: MultiScaleStructuralSimilarity?
  /// The visible difference of each pixel, with its mean.
  public let flipErrorMap: FLIPErrorMap

  /// Compares two pictures; cheaper than one measure after the other, as both similarities share
  /// the finest scale.
  ///
  /// - Parameters:
  ///   - picture: what to judge.
  ///   - reference: the picture that counts as right.
  ///   - pixelsPerDegree: how small the pixels appear to the observer, 1...1000.
  /// - Throws: `ImageMetricError` if the pictures differ in size, or for other numbers of pixels.
  public init(
    of picture: RGBImage, with reference: RGBImage,
    pixelsPerDegree: Double = FLIPErrorMap.defaultPixelsPerDegree
  ) throws(ImageMetricError) {
    let size = try picture.commonSize(with: reference)
    peakSignalToNoiseRatio = try picture.peakSignalToNoiseRatio(to: reference)
    flipErrorMap = try picture.flipErrorMap(against: reference, pixelsPerDegree: pixelsPerDegree)
    guard size.shorterSide >= SimilarityWindow.length else {
      (structuralSimilarity, multiScaleStructuralSimilarity) = (nil, nil)
      return
    }
    let (reference, picture) = (ChannelPlanes(reference), ChannelPlanes(picture))
    let finest = SimilarityWindow.means(reference: reference, picture: picture, border: .none)
    structuralSimilarity = finest.similarity
    multiScaleStructuralSimilarity = MultiScaleStructuralSimilarity.scaleCount(size).map {
      MultiScaleStructuralSimilarity(reference, picture, finest: finest, scaleCount: $0)
    }
  }
}
