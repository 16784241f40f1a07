import Images

/// How strongly an observer sees the difference of two pictures that alternate, pixel by pixel: the
/// measure FLIP for pictures of low dynamic range by Andersson, Nilsson, Akenine-Möller, Oskarsson,
/// Åström and Fairchild, "FLIP: a difference evaluator for alternating images" (2020).
///
/// It needs no trained weights: colors are compared after the filters of human vision at the given
/// distance, and differences count more where edges or points come or go.
public struct FLIPErrorMap: Equatable, Sendable {
  /// Pixels per row.
  public let width: Int
  /// Number of rows.
  public let height: Int
  /// The error of each pixel, row by row from the top: 0 for no difference, 1 for the greatest.
  public let errors: [Float]

  /// Makes a map of given errors.
  ///
  /// - Precondition: `errors` holds `width · height` numbers of 0...1.
  package init(width: Int, height: Int, errors: [Float]) {
    precondition(errors.count == width * height)
    self.width = width
    self.height = height
    self.errors = errors
  }

  /// The measure for the whole picture: the mean error; 0 for pictures without pixels.
  public var mean: Double {
    errors.isEmpty ? 0 : errors.reduce(0) { $0 + Double($1) } / Double(errors.count)
  }

  /// Pixels per degree of the visual field at which differences are judged if nothing else is said:
  /// about 67.02, a screen of 3840 pixels and 0.7 m width seen from 0.7 m.
  public static let defaultPixelsPerDegree = 3840 * Double.pi / 180
}

extension RGBImage {
  /// The FLIP error of each pixel, as NVIDIA's `flip-evaluator` computes it for pictures of low
  /// dynamic range; beyond the edges both pictures go on with their edge pixels.
  ///
  /// - Parameters:
  ///   - reference: the picture that counts as right.
  ///   - pixelsPerDegree: how small the pixels appear to the observer, 1...1000.
  /// - Returns: a map of the pictures' size.
  /// - Throws: `ImageMetricError` if the pictures differ in size, or for other numbers of pixels.
  public func flipErrorMap(
    against reference: RGBImage,
    pixelsPerDegree: Double = FLIPErrorMap.defaultPixelsPerDegree
  ) throws(ImageMetricError) -> FLIPErrorMap {
    guard (1...1000).contains(pixelsPerDegree) else { throw .pixelsPerDegree(pixelsPerDegree) }
    let size = try commonSize(with: reference)
    guard size.shorterSide > 0 else {
      return FLIPErrorMap(width: width, height: height, errors: [])
    }
    let filters = FLIPFilters(pixelsPerDegree: pixelsPerDegree)
    let vision = SlidingFilter(
      size: size, border: .clamp, radius: filters.radius, sources: 6,
      across: filters.across(source: 0) + filters.across(source: 3),
      down: filters.down(source: 0) + filters.down(source: FLIPFilters.acrossCount))
    let colors = FLIPColors()
    var errors = [Float](repeating: 0, count: size.count)
    errors.withUnsafeMutableBufferPointer { errors in
      vision.run(
        read: { y, rows, stride in
          colors.read(reference, row: y, into: rows, stride: stride)
          colors.read(self, row: y, into: rows + 3 * stride, stride: stride)
        },
        write: { y, rows, stride in
          for x in 0..<size.width {
            let reference = FLIPResponse(rows + x, stride: stride)
            let picture = FLIPResponse(rows + FLIPFilters.downCount * stride + x, stride: stride)
            errors[y * size.width + x] = Float(colors.error(reference, picture))
          }
        })
    }
    return FLIPErrorMap(width: width, height: height, errors: errors)
  }
}
