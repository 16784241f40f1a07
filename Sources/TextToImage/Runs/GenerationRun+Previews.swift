import Compute
import Diffusion
import Images

/// What pictures are going to show, while they are made.
extension GenerationRun {
  /// What makes previews, made once for pictures of a size.
  struct Previewers {
    private var made: [(choice: PreviewChoice, size: LatentSize, previewer: Previewer)] = []

    /// What makes the previews of a batch; nil if none are wanted.
    mutating func previewer(
      for batch: RunBatch<Model>, of run: GenerationRun
    ) throws(GenerationError) -> Previewer? {
      guard let choice = batch.first.settings.previews else { return nil }
      let size = batch.first.prepared.size
      if let known = made.first(where: { $0.choice == choice && $0.size == size }) {
        return known.previewer
      }
      let previewer = try run.previewer(choice, size, within: batch.plan.decoderBytes)
      made.append((choice, size, previewer))
      return previewer
    }
  }

  private func previewer(
    _ choice: PreviewChoice, _ size: LatentSize, within bytes: Int?
  ) throws(GenerationError) -> Previewer {
    if let decoder = choice.decoder { return .decoder(decoder.codec) }
    defer { device.releaseMemory() }
    return try computing { () throws(ComputeError) in
      .projection(try LatentProjection(of: model.codec, size: size, within: bytes, on: device))
    }
  }

  /// The previews after a step, if it is shown.
  func previewed(
    _ pictures: [Latents], after step: Int, of batch: RunBatch<Model>, by previewer: Previewer
  ) throws(GenerationError) -> [RGBImage] {
    let first = batch.first
    guard first.settings.previews?.shows(step: step, of: first.settings.steps) == true else {
      return []
    }
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
