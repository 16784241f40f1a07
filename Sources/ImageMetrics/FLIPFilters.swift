import Foundation

/// The filters of FLIP: the eye's contrast sensitivity for brightness, red-green and blue-yellow
/// (section 4.1.1 of the paper), and detectors of edges and points (section 4.2.1).
struct FLIPFilters {
  /// No filter has more than `2 · radius + 1` weights.
  let radius: Int

  private let brightness: [Double]
  private let redGreen: [Double]
  /// Blue-yellow sensitivity is a sum of two Gaussians, which are separable one by one only.
  private let blueYellow: [[Double]]
  /// Shares of the two Gaussians in the sum.
  private let blueYellowShares: [Double]
  private let detector: Detector

  /// Derivatives of a Gaussian.
  private struct Detector {
    let smooth: [Double]
    let first: [Double]
    let second: [Double]
  }

  /// Makes the filters for a size of the pixels.
  init(pixelsPerDegree: Double) {
    // Table 1 of the paper: with scale b, the Gaussian of degrees is a √(π / b) exp(−π² x² / b).
    let (brightnessScale, redGreenScale) = (0.0047, 0.0053)
    let blueYellowParts = [(a: 34.1, b: 0.04), (a: 13.5, b: 0.025)]
    // A screen of three standard deviations of the widest, each √(b / 2π²) degrees.
    let reach = 3 * (0.04 / (2 * Double.pi * Double.pi)).squareRoot() * pixelsPerDegree
    // The distance of an edge's peak and trough is 0.082 degrees, two standard deviations.
    let deviation = 0.5 * 0.082 * pixelsPerDegree
    let spatialRadius = Int(reach.rounded(.up))
    let detectorRadius = Int((3 * deviation).rounded(.up))

    func gaussian(_ scale: Double) -> [Double] {
      (-spatialRadius...spatialRadius).map {
        let degrees = Double($0) / pixelsPerDegree
        return exp(-Double.pi * Double.pi * degrees * degrees / scale)
      }
    }
    radius = max(spatialRadius, detectorRadius)
    brightness = Self.trimmed(Self.normalized(gaussian(brightnessScale)))
    redGreen = Self.trimmed(Self.normalized(gaussian(redGreenScale)))
    let parts = blueYellowParts.map { gaussian($0.b) }
    blueYellow = parts.map(Self.normalized)
    let volumes = zip(blueYellowParts, parts).map { part, weights in
      let sum = weights.reduce(0, +)
      return part.a * (Double.pi / part.b).squareRoot() * sum * sum
    }
    blueYellowShares = Self.normalized(volumes)

    let places = (-detectorRadius...detectorRadius).map { Double($0) / deviation }
    func bell(_ place: Double) -> Double { exp(-place * place / 2) }
    detector = Detector(
      smooth: Self.normalized(places.map(bell)),
      first: Self.normalized(places.map { -$0 * bell($0) }),
      second: Self.normalized(places.map { ($0 * $0 - 1) * bell($0) }))
  }

  /// Weights of which the positive add up to 1 and the negative to −1.
  private static func normalized(_ weights: [Double]) -> [Double] {
    let positive = weights.reduce(0) { $0 + max($1, 0) }
    let negative = weights.reduce(0) { $0 + max(-$1, 0) }
    return weights.map { $0 == 0 ? 0 : $0 / ($0 > 0 ? positive : negative) }
  }

  /// Weights without those at both ends that are too small to matter, far below what float32 tells
  /// apart: two of the filters are much narrower than the widest, which sets the reach.
  private static func trimmed(_ weights: [Double]) -> [Double] {
    let least = 0x1p-32 * (weights.max() ?? 0)
    let dropped = weights.prefix { $0 < least }.count
    return Array(weights[dropped..<weights.count - dropped])
  }

  /// Number of filters that `across` gives.
  static let acrossCount = 7

  /// The filters along rows for a picture whose YCxCz planes begin at `source`.
  func across(source: Int) -> [SlidingFilter.Pass] {
    [
      .init(source: source, weights: brightness), .init(source: source + 1, weights: redGreen),
      .init(source: source + 2, weights: blueYellow[0]),
      .init(source: source + 2, weights: blueYellow[1]),
      .init(source: source, weights: detector.smooth),
      .init(source: source, weights: detector.first),
      .init(source: source, weights: detector.second),
    ]
  }

  /// Number of filters that `down` gives.
  static let downCount = 8

  /// The filters along columns for what `across` gave from `source` on, in the order that
  /// `FLIPResponse` reads.
  func down(source: Int) -> [SlidingFilter.Pass] {
    [
      .init(source: source, weights: brightness), .init(source: source + 1, weights: redGreen),
      .init(source: source + 2, weights: blueYellow[0].map { $0 * blueYellowShares[0] }),
      .init(source: source + 3, weights: blueYellow[1].map { $0 * blueYellowShares[1] }),
      .init(source: source + 5, weights: detector.smooth),
      .init(source: source + 4, weights: detector.first),
      .init(source: source + 6, weights: detector.smooth),
      .init(source: source + 4, weights: detector.second),
    ]
  }
}

/// What the filters gave for one pixel of one picture.
struct FLIPResponse {
  /// The color as YCxCz after the eye's filters.
  let color: SIMD3<Double>
  /// How much of an edge is here, 0...√2.
  let edge: Double
  /// How much of a point is here, 0...√2.
  let point: Double

  /// Reads the results of `FLIPFilters.down`, one every `stride` numbers.
  init(_ rows: UnsafePointer<Double>, stride: Int) {
    color = SIMD3(rows[0], rows[stride], rows[2 * stride] + rows[3 * stride])
    func length(_ plane: Int) -> Double {
      let (x, y) = (rows[plane * stride], rows[(plane + 1) * stride])
      // The detectors look at brightness as 0...1, which is (Y + 16) / 116; the constant part
      // falls out of every derivative.
      return (x * x + y * y).squareRoot() / 116
    }
    edge = length(4)
    point = length(6)
  }
}
