import Compute
import Diffusion
import Images

/// What pictures are going to show, while they are made.
extension GenerationRun {
  func previewer(for batch: RunBatch<Model>) throws(GenerationError) -> Previewer? {
    guard let previews = batch.first.previews else { return nil }
    if let decoder = previews.decoder { return .decoder(decoder.codec) }
    defer { device.releaseMemory() }
    return try computing { () throws(ComputeError) in
      .projection(
        try LatentProjection(
          of: model.codec, size: batch.first.prepared.size, within: batch.plan.decoderBytes,
          on: device))
    }
  }

  /// The previews after a step, if it is shown.
  func previewed(
    _ pictures: [Latents], after step: Int, of batch: RunBatch<Model>, by previewer: Previewer
  ) throws(GenerationError) -> [RGBImage] {
    let first = batch.first
    guard first.previews?.shows(step: step, of: first.settings.steps) == true else { return [] }
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
