extension Pipeline {
  /// What must agree for latents of one model to mean something to another.
  package struct Shape: Sendable, Equatable, CustomStringConvertible {
    let latentChannels: Int
    let upscaling: Int

    package var description: String {
      "\(latentChannels) latent channels at 1/\(upscaling) of the picture's size"
    }
  }

  /// The shape of this model's latents.
  package var shape: Shape {
    Shape(
      latentChannels: model.denoiser.geometry.channels, upscaling: upscaling)
  }
}
