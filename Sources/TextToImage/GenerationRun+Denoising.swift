import Compute
import Diffusion
import Images

/// 5 to 7: from noise, given latents or a picture to finished latents.
extension GenerationRun {
  /// The picture to start from as latents; nil if there is none.
  func encoded(
    _ clock: StageClock, _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> EncodedPicture? {
    guard let picture else { return nil }
    report(.encodingPicture)
    let encoded = try encodedPicture(
      picture.start.planes, prepared.size, by: picture.encoder, within: plan.encoderBytes,
      on: device)
    end(WeightStage(encoding: picture.encoder))
    device.releaseMemory()
    statistics.encoderSeconds = clock.lap()
    return encoded
  }

  /// What some pictures start from. Their streams of noise go on from there.
  private func start(
    _ group: Range<Int>, _ encoded: EncodedPicture?, _ noise: inout [TorchNoise]
  ) -> GenerationStart {
    if let encoded {
      return GenerationStart(
        encoded, mask: picture?.start.latentMask(upscaling: model.codec.upscaling),
        sigma: settings.sigmas[0], noise: &noise)
    }
    let count = prepared.latentCount
    return GenerationStart(
      group.map { image in
        prepared.latents(
          initialLatents.latents(
            of: image, count: count, noise: &noise[image - group.lowerBound]))
      })
  }

  /// Takes some pictures together from noise to latents. With the last ones the conditions go:
  /// while these are decoded, nothing else is needed any more.
  func denoise(
    _ group: Range<Int>, _ encoded: EncodedPicture?,
    _ conditions: inout Model.Network.Prepared?, _ clock: StageClock,
    _ statistics: inout GenerationStatistics, _ previewer: Previewer? = nil,
    _ onStepEnd: ((inout GenerationStep) -> Void)? = nil
  ) throws(GenerationError) -> [Latents] {
    defer { if group.upperBound == settings.seeds.count { conditions = nil } }
    var noise = group.map { TorchNoise(seed: settings.seeds[$0]) }
    let start = start(group, encoded, &noise)
    var latents = start.latents
    guard let present = conditions else { return latents }
    let session = try session(present, pictures: group.count)
    var sampler = settings.sampler.sampler()
    var pictures: [Latents] = []
    for step in 0..<settings.steps {
      try sampler.step(
        &latents, step, of: prepared.run, noise: { noise[$0].normal(prepared.latentCount) }
      ) { latents, level throws(GenerationError) in
        let derivatives = try predict(latents, session, time: level)
        if previewer != nil {
          pictures = .sum((1, latents), (-Double(settings.sigmas[level]), derivatives))
        }
        return derivatives
      }
      guard latents.allSatisfy(\.isFinite) else {
        throw .notFinite(step: step + 1, of: settings.steps)
      }
      start.restore(&latents, sigma: settings.sigmas[step + 1])
      statistics.stepSeconds.append(clock.lap())
      var previews: [RGBImage] = []
      if let previewer { previews = try previewed(pictures, after: step + 1, by: previewer) }
      report(
        .denoising, images: group, step: step + 1, seconds: statistics.stepSeconds.last ?? 0,
        latents: latents.map(\.values), previews: previews)
      _ = clock.lap()
      if let onStepEnd { try hand(&latents, of: group, after: step, to: onStepEnd) }
    }
    end(model.denoiser.stepStage)
    return latents
  }

  /// Lets the caller change latents, or end the work.
  private func hand(
    _ latents: inout [Latents], of group: Range<Int>, after step: Int,
    to onStepEnd: (inout GenerationStep) -> Void
  ) throws(GenerationError) {
    var ended = GenerationStep(
      images: group, step: step + 1, stepCount: settings.steps, sigma: settings.sigmas[step + 1],
      latents: latents.map(\.values))
    onStepEnd(&ended)
    if ended.isCancelled { throw .cancelled }
    guard ended.latents.map(\.count) == latents.map(\.values.count) else {
      throw .invalidRequest(
        "latents of another shape were handed back after step \(step + 1): expected "
          + "\(group.count) times \(prepared.latentCount) values")
    }
    latents = zip(latents, ended.latents).map { $0.with($1) }
    guard latents.allSatisfy(\.isFinite) else {
      throw .notFinite(step: step + 1, of: settings.steps)
    }
  }

  func session(
    _ conditions: Model.Network.Prepared, pictures: Int
  ) throws(GenerationError) -> Model.Network.Session {
    try computing { () throws(ComputeError) in
      try model.denoiser.session(conditions, pictures: pictures, on: device)
    }
  }

  /// The prediction for each picture, after guidance.
  func predict(
    _ latents: [Latents], _ session: Model.Network.Session, time: Int
  ) throws(GenerationError) -> [Latents] {
    let branches = prepared.guidance.branches(atLevel: time)
    let inputs = branches.flatMap { _ in latents }
    return prepared.guidance.combine(
      try computing { () throws(ComputeError) in
        try model.denoiser.predict(
          inputs, session, time: time, from: branches.lowerBound * latents.count, on: device)
      }, atLevel: time)
  }
}
