import Compute
import Diffusion
import Images

/// What pictures are going to show, while they are made.
extension GenerationRun {
  func previewer() throws(GenerationError) -> Previewer? {
    guard let previews else { return nil }
    if let decoder = previews.decoder { return .decoder(decoder.codec) }
    defer { device.releaseMemory() }
    return try computing { () throws(ComputeError) in
      .projection(
        try LatentProjection(
          of: model.codec, size: prepared.size, within: plan.decoderBytes, on: device))
    }
  }

  /// The previews after a step, if it is shown.
  func previewed(
    _ pictures: [Latents], after step: Int, by previewer: Previewer
  ) throws(GenerationError) -> [RGBImage] {
    guard previews?.shows(step: step, of: settings.steps) == true else { return [] }
    var images: [RGBImage] = []
    for latents in pictures {
      images.append(
        try computing { () throws(ComputeError) in
          try previewer.picture(
            of: latents, upscaling: model.codec.upscaling, on: device)
        })
    }
    return images
  }
}
