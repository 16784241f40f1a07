import Compute
import Diffusion

/// 3 to 5: what is there before the steps of a group begin.
extension GenerationRun {
  /// What a group's pictures are conditioned on.
  struct Conditions {
    let keys: [PromptIdentity]
    let prepared: Model.Network.Prepared
  }

  /// The prompts of a group, each once.
  static func keys(of group: [Lane]) -> [PromptIdentity] {
    var seen: Set<PromptIdentity> = []
    return group.flatMap { $0.prompts.map(\.key) }.filter { seen.insert($0).inserted }
  }

  /// The pictures to start from as latents, by number.
  func encodedPictures(
    of chunk: RunChunk<Model>, _ record: inout Record
  ) throws(GenerationError) -> [Int: EncodedPicture] {
    var encoded: [Int: EncodedPicture] = [:]
    guard let encoder else { return encoded }
    for batch in chunk.batches {
      for request in batch.requests {
        guard let start = request.start, encoded[start] == nil else { continue }
        report(.encodingPicture, [Lane(request: request, image: request.images[0])], of: batch)
        encoded[start] = try encodedPicture(
          starts[start].planes, request.prepared.size, by: encoder,
          within: batch.plan.encoderBytes, on: device)
        device.releaseMemory()
      }
    }
    // Nothing later needs it, and not every batch's plan counts it.
    end(WeightStage(encoding: encoder), false)
    record.statistics.encoderSeconds += record.clock.lap()
    return encoded
  }

  /// All prompts of a chunk, encoded.
  func encodedPrompts(
    of chunk: RunChunk<Model>, _ record: inout Record
  ) throws(GenerationError) -> EncodedPrompts<Model> {
    let batch = chunk.batches[0]
    var encoded = EncodedPrompts<Model>(for: chunk)
    report(.encodingText, chunk.batches.flatMap { $0.groups.flatMap { $0 } }, of: batch)
    for pass in chunk.passes {
      let conditionings = try computing { () throws(ComputeError) in
        try model.conditioner.condition(pass.map(\.tokens), on: device)
      }
      for (prompt, conditioning) in zip(pass, conditionings) { encoded[prompt.key] = conditioning }
    }
    for stage in model.conditioner.stages { end(stage, chunk.keepsEverything) }
    device.releaseMemory()
    record.statistics.textEncoderSeconds += record.clock.lap()
    return encoded
  }

  /// Evaluates what depends on the prompts of a group and on all times of its batch.
  func conditions(
    of group: [Lane], _ prompts: EncodedPrompts<Model>, _ batch: RunBatch<Model>,
    _ record: inout Record
  ) throws(GenerationError) -> Conditions {
    let keys = Self.keys(of: group)
    report(.preparingSchedule, group, of: batch)
    let request = batch.first.prepared
    let prepared = try computing { () throws(ComputeError) in
      try model.denoiser.prepare(
        keys.compactMap { prompts[$0] }, times: request.times, guidance: request.distilledGuidance,
        size: request.size, on: device)
    }
    for stage in model.denoiser.scheduleStages { end(stage, batch.plan.keepsEverything) }
    record.statistics.scheduleSeconds += record.clock.lap()
    return Conditions(keys: keys, prepared: prepared)
  }

  /// Memory for the steps of some pictures: the branches of the unconditional prompts come first.
  func session(
    _ conditions: Conditions, _ group: [Lane], of batch: RunBatch<Model>
  ) throws(GenerationError) -> Model.Network.Session {
    let places = Dictionary(uniqueKeysWithValues: zip(conditions.keys, 0...))
    let prompts = batch.first.prepared.prompts.indices.flatMap { branch in
      group.compactMap { places[$0.prompts[branch].key] }
    }
    return try computing { () throws(ComputeError) in
      try model.denoiser.session(conditions.prepared, prompts: prompts, on: device)
    }
  }

  /// What a picture starts from. Its stream of noise goes on from there.
  func start(
    _ lane: Lane, _ encoded: [Int: EncodedPicture], _ noise: inout TorchNoise
  ) -> GenerationStart {
    let prepared = lane.request.prepared
    if let number = lane.request.start, let picture = encoded[number] {
      return GenerationStart(
        picture, mask: starts[number].latentMask(upscaling: model.codec.upscaling),
        sigma: lane.request.settings.sigmas[0], noise: &noise)
    }
    return GenerationStart(
      prepared.latents(
        lane.request.latents.latents(
          of: lane.image, count: prepared.latentCount, noise: &noise)))
  }
}
