import ImageMetrics
import Images
import Testing

/// What the measures promise for any pictures.
@Suite struct ImageMetricsTests {
  private func image(_ width: Int, _ height: Int, gray: UInt8 = 128) -> RGBImage {
    RGBImage(
      width: width, height: height, pixels: .init(repeating: gray, count: 3 * width * height))
  }

  @Test("Pictures of different sizes are an error", arguments: [(16, 12), (12, 16), (1, 192)])
  func sizes(_ width: Int, _ height: Int) throws {
    let reference = image(16, 13)
    let picture = image(width, height)
    let error = ImageMetricError.sizes(
      reference: PixelSize(width: 16, height: 13), picture: PixelSize(width: width, height: height))
    #expect(throws: error) { try picture.peakSignalToNoiseRatio(to: reference) }
    #expect(throws: error) { try picture.structuralSimilarity(to: reference) }
    #expect(throws: error) { try picture.multiScaleStructuralSimilarity(to: reference) }
    #expect(throws: error) { try picture.flipErrorMap(against: reference) }
    #expect(throws: error) { try ImageComparison(of: picture, with: reference) }
    #expect(error.description.contains("16x13") && error.description.contains("\(width)x\(height)"))
  }

  @Test(
    "Sizes of pixels that make no sense are an error",
    arguments: [0, -67, 0.99, 1000.5, .infinity, .nan])
  func pixelsPerDegree(_ value: Double) throws {
    #expect(throws: ImageMetricError.self) {
      try image(4, 4).flipErrorMap(against: image(4, 4), pixelsPerDegree: value)
    }
  }

  @Test("The bounds of the sizes of pixels work", arguments: [1.0, 1000])
  func pixelsPerDegreeBounds(_ value: Double) throws {
    let map = try image(9, 7, gray: 0).flipErrorMap(against: image(9, 7), pixelsPerDegree: value)
    #expect(map.errors.allSatisfy { $0 > 0 && $0 < 1 })
  }

  @Test("Pictures that are the same are equal by every measure", arguments: [1, 5, 11, 22, 180])
  func same(_ side: Int) throws {
    let pair = try PicturePair(kind: "identical", width: side, height: side + 3)
    let comparison = try ImageComparison(of: pair.picture, with: pair.reference)
    #expect(comparison.peakSignalToNoiseRatio == .infinity)
    #expect(comparison.structuralSimilarity == (side < 11 ? nil : 1))
    #expect(comparison.multiScaleStructuralSimilarity?.value == (side < 22 ? nil : 1))
    #expect(comparison.flipErrorMap.errors.allSatisfy { $0 == 0 })
    #expect(comparison.flipErrorMap.errors.count == side * (side + 3))
  }

  @Test("Pictures without pixels do not trap", arguments: [(0, 0), (0, 7), (7, 0)])
  func empty(_ width: Int, _ height: Int) throws {
    let picture = RGBImage(width: width, height: height, pixels: [])
    let comparison = try ImageComparison(of: picture, with: picture)
    #expect(comparison.peakSignalToNoiseRatio == .infinity)
    #expect(comparison.structuralSimilarity == nil)
    #expect(comparison.multiScaleStructuralSimilarity == nil)
    #expect(comparison.flipErrorMap.mean == 0)
    #expect(comparison.flipErrorMap.picture() == picture)
  }

  @Test(
    "The number of scales follows the shorter side",
    arguments: [
      (21, nil), (22, 2), (43, 2), (44, 3), (87, 3), (88, 4), (175, 4), (176, 5), (400, 5),
    ] as [(Int, Int?)])
  func scales(_ side: Int, _ scaleCount: Int?) throws {
    for (width, height) in [(side, side + 25), (side + 25, side)] {
      let (reference, picture) = (image(width, height), image(width, height, gray: 100))
      let similarity = try picture.multiScaleStructuralSimilarity(to: reference)
      #expect(similarity?.scaleCount == scaleCount)
    }
  }

  @Test("Measures fall as noise grows")
  func noise() throws {
    let weak = try PicturePair(kind: "noise", width: 64, height: 64)
    let comparisons = try [1, 2, 4, 8].map { factor in
      let pixels = zip(weak.reference.pixels, weak.picture.pixels).map { reference, picture in
        UInt8(clamping: Int(reference) + factor * (Int(picture) - Int(reference)))
      }
      let picture = RGBImage(width: 64, height: 64, pixels: pixels)
      return try ImageComparison(of: picture, with: weak.reference)
    }
    for (less, more) in zip(comparisons, comparisons.dropFirst()) {
      #expect(less.peakSignalToNoiseRatio > more.peakSignalToNoiseRatio)
      #expect((less.structuralSimilarity ?? 0) > (more.structuralSimilarity ?? 1))
      #expect(
        (less.multiScaleStructuralSimilarity?.value ?? 0)
          > (more.multiScaleStructuralSimilarity?.value ?? 1))
      #expect(less.flipErrorMap.mean < more.flipErrorMap.mean)
    }
  }
}
