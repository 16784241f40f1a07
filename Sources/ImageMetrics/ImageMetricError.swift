import Images

/// Why two pictures were not compared.
public enum ImageMetricError: Error, Equatable, CustomStringConvertible {
  /// The pictures have different sizes; every measure compares pixel with pixel.
  case sizes(reference: PixelSize, picture: PixelSize)
  /// A number of pixels per degree of the visual field outside 1...1000.
  case pixelsPerDegree(Double)

  /// A line for the user.
  public var description: String {
    switch self {
    case .sizes(let reference, let picture):
      "pictures of different sizes: the reference has \(reference) pixels, the other \(picture)"
    case .pixelsPerDegree(let value):
      "\(value) pixels per degree: expected 1...1000"
    }
  }
}

/// Width and height of a picture.
public struct PixelSize: Equatable, Sendable, CustomStringConvertible {
  /// Pixels per row.
  public let width: Int
  /// Number of rows.
  public let height: Int

  /// Makes a size.
  public init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  /// Number of pixels.
  var count: Int { width * height }

  /// The shorter side.
  var shorterSide: Int { min(width, height) }

  /// Such as `512x768`.
  public var description: String { "\(width)x\(height)" }
}

extension RGBImage {
  /// Width and height.
  var size: PixelSize { PixelSize(width: width, height: height) }

  /// The size of both pictures.
  ///
  /// - Throws: `ImageMetricError.sizes` if they differ.
  func commonSize(with reference: RGBImage) throws(ImageMetricError) -> PixelSize {
    guard size == reference.size else {
      throw .sizes(reference: reference.size, picture: size)
    }
    return size
  }
}
