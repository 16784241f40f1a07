import Compute
import ModelFiles

/// Turns latents into a picture.
package protocol LatentCodec: Sendable {
  /// Channels of the latents.
  var latentChannels: Int { get }
  /// Picture pixels per latent pixel and side.
  var upscaling: Int { get }
  /// How the autoencoder's own latents become the denoiser's.
  var latentScaling: LatentScaling { get }
  /// What each picture reads.
  var weights: WeightStream { get }

  /// Opens the half that makes latents of pictures.
  ///
  /// - Returns: the encoder; nil if the files hold none.
  /// - Throws: `ModelFileError` for the first of its tensors that is missing or misshapen.
  func openEncoder() throws(ModelFileError) -> (any LatentEncoder)?

  /// Decodes the latents of one picture. The result is the same bits whatever the bound.
  ///
  /// - Parameters:
  ///   - latents: as the denoiser leaves them.
  ///   - bytes: bytes of activations to stay within, at the cost of time; nil for the fastest way.
  ///     Where even the smallest way needs more, that way is taken.
  ///   - device: where to compute.
  /// - Returns: red, green and blue planes in about −1...1.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func decode(
    _ latents: Latents, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> ImagePlanes
}

/// How an autoencoder's own latents become a denoiser's: `(own − shift) · scale`.
package struct LatentScaling: Sendable, Equatable {
  package let scale: Float
  package let shift: Float

  package init(scale: Float, shift: Float = 0) {
    self.scale = scale
    self.shift = shift
  }

  /// The autoencoder's own value of a denoiser's.
  package func own(_ value: Float) -> Float { value / scale + shift }

  /// The denoiser's value of an autoencoder's own.
  package func denoisers(_ value: Float) -> Float { (value - shift) * scale }
}

extension LatentCodec {
  /// The most bytes of activations that decoding holds at once, without the mapped weights:
  /// decoding on a device that only keeps account.
  ///
  /// - Parameters:
  ///   - size: of the latents.
  ///   - bytes: the bound that decoding will be given; nil for none, 0 for the smallest way.
  ///   - device: whose work is rehearsed.
  /// - Returns: bytes.
  /// - Throws: `ComputeError` if the sizes are beyond all memory.
  package func activationBytes(
    _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> Int {
    let rehearsal = RehearsalDevice(of: device)
    return try rehearsal.peakBytes { () throws(ComputeError) in
      let latents = Latents(channels: latentChannels, size: size)
      _ = try decode(latents, within: bytes, on: rehearsal)
    }
  }
}
