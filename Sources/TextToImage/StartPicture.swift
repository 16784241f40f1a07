import Images

/// A picture to start from instead of noise alone: noise is added to its latents up to a level of
/// the schedule, and the steps from there on remove it again, following the prompt.
///
/// Equal to diffusers' img2img and inpainting pipelines for flow-matching models.
public struct StartPicture: Sendable, Equatable {
  /// The picture, of any size.
  public var image: RGBImage
  /// How much may change, above 0 and up to 1: the share of the steps that are made. At 1 nothing
  /// of the picture is left but what `mask` keeps.
  public var strength = 0.6
  /// What of the picture is repainted: white, or nearer to white than to black; everything if nil.
  /// It is resized as the picture is, so that it should have the same size.
  public var mask: RGBImage?
  /// How picture and mask become as large as the request says.
  public var resize = ResizeMode.stretch
  /// Whether pixels that are not repainted are the picture's own, exactly; otherwise the whole
  /// result comes from the decoder, which changes every pixel a little. Needs a mask.
  public var keepsUnmasked = false
  /// Pixels, on the repainted side of the mask's edge, over which the picture's own pixels fade
  /// into the result; only with `keepsUnmasked`.
  public var maskBlur = 4

  /// Starts from a picture, with strength 0.6 and without a mask.
  public init(_ image: RGBImage) { self.image = image }

  init(_ image: RGBImage, _ resize: ResizeMode) {
    self.image = image
    self.resize = resize
  }

  /// The largest `maskBlur`.
  public static let maximumMaskBlur = 256
}

/// A picture to start from in the size of the request.
struct PreparedStart: Sendable {
  let image: RGBImage
  /// For each pixel whether it is repainted; nil if all are.
  private let repaints: [Bool]?
  private let keepsUnmasked: Bool
  private let blur: Int

  init(_ start: StartPicture, width: Int, height: Int) {
    image = start.image.resized(width: width, height: height, start.resize)
    repaints = start.mask.map { mask in
      mask.resized(width: width, height: height, start.resize).luminance.map { $0 >= 128 }
    }
    keepsUnmasked = start.keepsUnmasked
    blur = start.maskBlur
  }

  /// Planes in −1...1, as the encoder takes them.
  var planes: [Float] {
    let count = image.width * image.height
    return [Float](unsafeUninitializedCapacity: 3 * count) { values, initialized in
      for channel in 0..<3 {
        for pixel in 0..<count {
          let value = Float(image.pixels[3 * pixel + channel]) / 255
          values.initializeElement(at: channel * count + pixel, to: 2 * value - 1)
        }
      }
      initialized = 3 * count
    }
  }

  /// For each latent of one channel whether it is repainted, as the first of its pixels; nil if all
  /// are.
  func latentMask(upscaling: Int) -> [Bool]? {
    repaints.map { repaints in
      stride(from: 0, to: image.height, by: upscaling).flatMap { row in
        stride(from: 0, to: image.width, by: upscaling).map { repaints[row * image.width + $0] }
      }
    }
  }

  /// The result with the picture's own pixels where nothing is repainted, if that is wanted.
  func composited(_ result: RGBImage) -> RGBImage {
    guard keepsUnmasked, let repaints,
      result.width == image.width, result.height == image.height
    else { return result }
    let weights = MaskSeam(repaints, width: image.width, height: image.height).weights(blur: blur)
    var pixels = image.pixels
    for (pixel, weight) in weights.enumerated() where weight > 0 {
      for index in 3 * pixel..<3 * pixel + 3 {
        let (own, new) = (Float(image.pixels[index]), Float(result.pixels[index]))
        // A mean of two bytes is one.
        pixels[index] = UInt8((own + (new - own) * weight).rounded(.toNearestOrEven))
      }
    }
    return RGBImage(width: image.width, height: image.height, pixels: pixels)
  }
}

/// How far repainted pixels are from those that stay.
struct MaskSeam {
  private let repaints: [Bool]
  private let width: Int
  private let height: Int

  init(_ repaints: [Bool], width: Int, height: Int) {
    self.repaints = repaints
    self.width = width
    self.height = height
  }

  /// The share of the new picture in each pixel: 0 where nothing is repainted, and elsewhere the
  /// distance to the nearest such pixel over `blur + 1`, 1 at most.
  func weights(blur: Int) -> [Float] {
    let reach = blur + 1
    let vertical = verticalDistances(upTo: reach)
    var weights = [Float](repeating: 0, count: width * height)
    for row in 0..<height {
      for column in 0..<width where repaints[row * width + column] {
        var nearest = reach * reach
        for other in max(0, column - blur)...min(width - 1, column + blur) {
          let (across, along) = (other - column, vertical[row * width + other])
          nearest = min(nearest, across * across + along * along)
        }
        weights[row * width + column] = Float(nearest).squareRoot() / Float(reach)
      }
    }
    return weights
  }

  /// Rows to the nearest pixel of the same column that stays, up to a bound.
  private func verticalDistances(upTo bound: Int) -> [Int] {
    var distances = [Int](repeating: 0, count: width * height)
    for column in 0..<width {
      var distance = bound
      for row in 0..<height {
        distance = repaints[row * width + column] ? min(bound, distance + 1) : 0
        distances[row * width + column] = distance
      }
      distance = bound
      for row in (0..<height).reversed() {
        distance = repaints[row * width + column] ? min(bound, distance + 1) : 0
        distances[row * width + column] = min(distance, distances[row * width + column])
      }
    }
    return distances
  }
}
