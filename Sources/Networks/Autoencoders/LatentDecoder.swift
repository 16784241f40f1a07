import Tensors

/// Turns latents into a picture.
package protocol LatentDecoder: Sendable {
  /// Channels of the latents.
  var latentChannels: Int { get }
  /// Picture pixels per latent pixel and side.
  var upscaling: Int { get }
  /// What the autoencoder's own latents are multiplied by to become the transformer's.
  var latentScale: Float { get }
  /// What each picture reads.
  var weights: WeightStream { get }

  /// Decodes the latents of one picture. The result is the same bits whatever the bound.
  ///
  /// - Parameters:
  ///   - latents: `[channels, height · width]`, as the transformer leaves them.
  ///   - memory: bytes of activations to stay within, at the cost of time; nil for the fastest way.
  ///     Where even the smallest way needs more (see `activationBytes`), that way is taken.
  ///   - pool: threads to compute on.
  /// - Returns: red, green and blue planes in about −1...1.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func callAsFunction(
    _ latents: ImagePlanes, memory: Int?, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes

  /// Estimates the most bytes of activations that decoding holds at once: its own allocations with
  /// the picture, without the latents that it is given and the mapped weights.
  ///
  /// - Parameters:
  ///   - height: rows of the latents.
  ///   - width: pixels of their rows.
  ///   - memory: the bound that decoding will be given; nil for none, 0 for the smallest way.
  /// - Returns: bytes, with scratch memory for a few threads.
  func activationBytes(height: Int, width: Int, memory: Int?) -> Int
}

extension LatentDecoder {
  /// Decodes the latents of one picture in the fastest way.
  package func callAsFunction(
    _ latents: ImagePlanes, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    try self(latents, memory: nil, on: pool)
  }
}
