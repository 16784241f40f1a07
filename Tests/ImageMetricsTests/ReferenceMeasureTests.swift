import ImageMetrics
import Images
import StrictJSON
import TestSupport
import Testing

/// The measures against scikit-image, torchmetrics and flip-evaluator.
@Suite struct ReferenceMeasureTests {
  /// One row of `image-metrics/measures.json`.
  struct Case: Sendable, CustomTestStringConvertible {
    let index: Int
    let kind: String
    let width: Int
    let height: Int
    let json: JSONValue

    var testDescription: String { "\(kind) \(width)x\(height)" }

    func number(_ key: String) throws -> Double { try #require(json[key]?.doubleValue) }

    /// A measure that is null where it is not defined.
    func measure(_ key: String) throws -> Double? { try #require(json[key]).doubleValue }

    var pair: PicturePair {
      get throws { try PicturePair(kind: kind, width: width, height: height) }
    }

    /// The number given to flip-evaluator; it had its own default where there is none.
    var pixelsPerDegree: Double {
      get throws { try measure("pixels_per_degree") ?? FLIPErrorMap.defaultPixelsPerDegree }
    }

    static let all: [Case] = {
      let rows = (try? Fixtures.json("image-metrics/measures.json"))?.arrayValue ?? []
      return rows.enumerated().compactMap { index, row in
        guard let kind = row["kind"]?.stringValue, let width = row["width"]?.integerValue,
          let height = row["height"]?.integerValue
        else { return nil }
        return Case(index: index, kind: kind, width: width, height: height, json: row)
      }
    }()
  }

  @Test("The reference's cases are all here")
  func casesAreRead() throws {
    let rows = try #require(try Fixtures.json("image-metrics/measures.json").arrayValue)
    #expect(rows.count == Case.all.count && rows.count > 20)
    #expect(Set(Case.all.compactMap { $0.json["scales"]?.integerValue }) == [2, 3, 4, 5])
  }

  @Test("PSNR equals scikit-image's", arguments: Case.all)
  func peakSignalToNoiseRatio(_ test: Case) throws {
    let pair = try test.pair
    let ratio = try pair.picture.peakSignalToNoiseRatio(to: pair.reference)
    guard let expected = try test.measure("psnr") else {
      #expect(ratio == .infinity)
      return
    }
    // A mean of up to 256 · 256 · 3 squares: rounded once here, at most 18 times in numpy's
    // pairwise sum, and in the logarithm; 10 log₁₀ changes by 4.35 of what its argument does.
    #expect(abs(ratio - expected) <= 4.35 * 20 * 0x1p-53 + 4 * expected.ulp)
  }

  @Test("SSIM equals scikit-image's", arguments: Case.all)
  func structuralSimilarity(_ test: Case) throws {
    let pair = try test.pair
    let similarity = try pair.picture.structuralSimilarity(to: pair.reference)
    guard let expected = try test.measure("ssim") else {
      #expect(similarity == nil)
      return
    }
    #expect(abs(try #require(similarity) - expected) <= Self.similarityTolerance)
  }

  /// Variances are differences of means of squares up to 510², each of 22 sums rounded at 2⁻⁵³ of
  /// it, set against the constant (0.03 · 255)² where the pictures are flat.
  private static let similarityTolerance = 22 * 0x1p-53 * 510 * 510 / (7.65 * 7.65)

  @Test("MS-SSIM equals torchmetrics', with as many scales as fit", arguments: Case.all)
  func multiScaleStructuralSimilarity(_ test: Case) throws {
    let pair = try test.pair
    let similarity = try pair.picture.multiScaleStructuralSimilarity(to: pair.reference)
    guard let expected = try test.measure("ms_ssim") else {
      #expect(similarity == nil)
      return
    }
    let found = try #require(similarity)
    #expect(found.scaleCount == test.json["scales"]?.integerValue)
    // torchmetrics rounds the exponents to float32, which raises the product v to 1 ± 2⁻²⁴; that
    // changes it by v |ln v| 2⁻²⁴, and v |ln v| is at most 1 / e. A mean m to the power of β moves
    // by β m^(β − 1) of what m does: at most 400 times as much for these exponents and means
    // from 0.0001 on, which all cases have.
    let exponents = 0x1p-24 / 2.71828
    #expect(abs(found.value - expected) <= exponents + 400 * Self.similarityTolerance)
  }

  @Test("FLIP equals flip-evaluator up to its float32 rounding", arguments: Case.all)
  func flip(_ test: Case) throws {
    let pair = try test.pair
    let map = try pair.picture.flipErrorMap(
      against: pair.reference, pixelsPerDegree: test.pixelsPerDegree)
    #expect(map.width == test.width && map.height == test.height)
    let expected = try Golden("image-metrics/flip-errors.safetensors").floats("\(test.index)")
    let step = try #require(test.json["flip_step"]?.integerValue)
    let found = stride(from: 0, to: map.errors.count, by: step).map { map.errors[$0] }
    try #require(found.count == expected.count)
    // The reference script measured how far float32 takes flip-evaluator from the formulas; here
    // only the result is rounded to float32.
    let rounding = try test.number("flip_rounding") + 0x1p-24
    let worst = zip(found, expected).map { abs(Double($0) - Double($1)) }.max() ?? 0
    #expect(worst <= rounding)
    let mean = try test.number("flip_mean")
    #expect(abs(map.mean - mean) <= (try test.number("flip_mean_rounding")) + 0x1p-24)
  }

  @Test("All measures together equal one by one", arguments: Case.all)
  func comparison(_ test: Case) throws {
    let pair = try test.pair
    let (picture, reference) = (pair.picture, pair.reference)
    let pixelsPerDegree = try test.pixelsPerDegree
    let comparison = try ImageComparison(
      of: picture, with: reference, pixelsPerDegree: pixelsPerDegree)
    #expect(
      comparison.peakSignalToNoiseRatio == (try picture.peakSignalToNoiseRatio(to: reference)))
    #expect(comparison.structuralSimilarity == (try picture.structuralSimilarity(to: reference)))
    #expect(
      comparison.multiScaleStructuralSimilarity
        == (try picture.multiScaleStructuralSimilarity(to: reference)))
    let map = try picture.flipErrorMap(against: reference, pixelsPerDegree: pixelsPerDegree)
    #expect(comparison.flipErrorMap == map)
    if pixelsPerDegree == FLIPErrorMap.defaultPixelsPerDegree {
      #expect(map == (try picture.flipErrorMap(against: reference)))
    }
  }
}
