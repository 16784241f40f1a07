import Checkpoints
import Compute
import Diffusion
import Images
import ModelCatalog
import ModelFiles

/// Which steps of a generation are shown, and how: each preview is of the picture that the step's
/// prediction points at.
public struct PreviewChoice: Sendable, Hashable {
  /// Every how many steps; the last one always.
  public var interval: Int
  /// What turns latents into pictures; nil for a linear function of them that is fitted to the
  /// model's own decoder on a picture of at most 256x256 pixels, before all else.
  public var decoder: PreviewDecoder?

  /// Shows every so many steps, at least 1.
  public init(every interval: Int = 1, decoder: PreviewDecoder? = nil) {
    self.interval = max(1, interval)
    self.decoder = decoder
  }

  /// Whether a step is shown.
  func shows(step: Int, of count: Int) -> Bool { step % interval == 0 || step == count }
}

/// A decoder of latents that is so small that it can be run at every step.
public final class PreviewDecoder: Sendable, Hashable {
  let codec: any LatentCodec

  init(_ codec: any LatentCodec) { self.codec = codec }

  /// The same object.
  public static func == (left: PreviewDecoder, right: PreviewDecoder) -> Bool { left === right }

  /// Of the object.
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

extension Pipeline {
  /// Opens a tiny decoder (TAESD and its kind), or another autoencoder, for previews.
  ///
  /// - Parameter path: its file or folder.
  /// - Returns: the decoder.
  /// - Throws: `ModelFileError` if it cannot be opened or is for other latents than this model's.
  public func previewDecoder(path: String) throws(ModelFileError) -> PreviewDecoder {
    let codec = try FamilyCatalog.known.latentCodec(at: path)
    let channels = model.denoiser.geometry.channels
    guard codec.latentChannels == channels, codec.upscaling == upscaling else {
      throw ModelFileError(
        path: path, kind: .unsupported,
        fault: "decodes latents of \(codec.latentChannels) channels, \(codec.upscaling) times as "
          + "large; this model's have \(channels) and become \(upscaling) times as large")
    }
    return PreviewDecoder(codec)
  }
}

/// Makes the previews of a run.
enum Previewer: Sendable {
  case projection(LatentProjection)
  case decoder(any LatentCodec)

  /// A picture of latents.
  ///
  /// - Parameters:
  ///   - latents: finished ones, or what a prediction takes them to be.
  ///   - upscaling: pixels per latent pixel of the model's pictures.
  ///   - device: where to compute.
  /// - Returns: the picture, of the full size.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func picture(
    of latents: Latents, upscaling: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> RGBImage {
    switch self {
    case .decoder(let codec):
      // In the smallest way: that is what plans count beside the steps.
      let planes = try codec.decode(latents, within: 0, on: device)
      return try RGBImage(width: planes.width, height: planes.height) { rows throws(ComputeError) in
        let pixels = rows.lowerBound * planes.width..<rows.upperBound * planes.width
        return try device.read(planes.planes.columns(pixels))
      }
    case .projection(let projection):
      let planes = Interpolation(
        projection.colors(of: latents), height: latents.size.height, width: latents.size.width,
        factor: upscaling)
      return RGBImage(width: planes.width, height: planes.height) { planes.rows($0) }
    }
  }
}

/// Planes that are enlarged by straight lines between the pixels' centers.
private struct Interpolation {
  private let planes: [Float]
  private let sourceHeight, sourceWidth, factor: Int

  var height: Int { sourceHeight * factor }
  var width: Int { sourceWidth * factor }

  /// Of three planes.
  init(_ planes: [Float], height: Int, width: Int, factor: Int) {
    self.planes = planes
    (sourceHeight, sourceWidth) = (height, width)
    self.factor = factor
  }

  /// Some rows of all planes.
  func rows(_ rows: Range<Int>) -> [Float] {
    let columns = (0..<width).map { place($0, sourceWidth) }
    var result: [Float] = []
    result.reserveCapacity(3 * rows.count * width)
    for plane in 0..<3 {
      let first = plane * sourceHeight * sourceWidth
      for row in rows {
        let (y, nextY, partY) = place(row, sourceHeight)
        let (upper, lower) = (first + y * sourceWidth, first + nextY * sourceWidth)
        for (x, nextX, partX) in columns {
          let above = planes[upper + x] + partX * (planes[upper + nextX] - planes[upper + x])
          let below = planes[lower + x] + partX * (planes[lower + nextX] - planes[lower + x])
          result.append(above + partY * (below - above))
        }
      }
    }
    return result
  }

  /// The pixels beside a place, and how near the second one is.
  private func place(_ index: Int, _ count: Int) -> (Int, Int, Float) {
    let center = max(0, (Float(index) + 0.5) / Float(factor) - 0.5)
    let low = min(Int(center), count - 1)
    return (low, min(low + 1, count - 1), center - Float(low))
  }
}
