import Compute

/// Turns a picture into latents.
package protocol LatentEncoder: Sendable {
  /// Channels of the latents.
  var latentChannels: Int { get }
  /// Picture pixels per latent pixel and side; a picture's sides must be multiples of it.
  var downscaling: Int { get }
  /// How the autoencoder's own latents become the denoiser's.
  var latentScaling: LatentScaling { get }
  /// What each picture reads.
  var weights: WeightStream { get }

  /// Encodes one picture. The result is the same bits whatever the bound.
  ///
  /// - Parameters:
  ///   - picture: red, green and blue planes in −1...1, row-major one after the other.
  ///   - size: of the latents.
  ///   - bytes: bytes of activations to stay within, at the cost of time; nil for the fastest way.
  ///     Where even the smallest way needs more, that way is taken.
  ///   - device: where to compute.
  /// - Returns: what the encoder says of the latents.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func encode(
    _ picture: [Float], _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> EncodedPicture
}

extension LatentEncoder {
  /// The most bytes of activations that encoding holds at once, without the mapped weights.
  ///
  /// - Parameters:
  ///   - size: of the latents.
  ///   - bytes: the bound that encoding will be given; nil for none, 0 for the smallest way.
  ///   - device: whose work is rehearsed.
  /// - Returns: bytes, the picture's values among them.
  /// - Throws: `ComputeError` if the sizes are beyond all memory.
  package func activationBytes(
    _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> Int {
    let rehearsal = RehearsalDevice(of: device)
    return try rehearsal.peakBytes { () throws(ComputeError) in
      _ = try encode([], size, within: bytes, on: rehearsal)
    }
  }
}

/// Latents as an encoder gives them: normally distributed around means, or sure.
package struct EncodedPicture: Sendable, Equatable {
  /// In the autoencoder's own scale.
  package let mean: Latents
  /// Standard deviation of each value; nil if the encoder gives the latents themselves.
  package let deviation: [Float]?
  private let scaling: LatentScaling

  package init(mean: Latents, deviation: [Float]?, scaling: LatentScaling) {
    self.mean = mean
    self.deviation = deviation
    self.scaling = scaling
  }

  /// The most probable latents, in the denoiser's scale.
  package var mode: Latents { mean.with(mean.values.map(scaling.denoisers)) }

  /// Latents drawn at random, in the denoiser's scale. Where the encoder gives the latents
  /// themselves, nothing is drawn.
  ///
  /// - Parameter noise: where random numbers come from: one for each value, in one call.
  /// - Returns: the latents.
  package func sample(_ noise: inout TorchNoise) -> Latents {
    guard let deviation else { return mode }
    let random = noise.normal(mean.values.count)
    return mean.with(
      mean.values.indices.map { index in
        scaling.denoisers(mean.values[index] + deviation[index] * random[index])
      })
  }
}
