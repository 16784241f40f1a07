import AuraFlowFamily
import Foundation
import Images
import Networks
import Sampling
import Tensors

/// One generation from prompt to pictures, as a straight line.
struct GenerationRun: Sendable {
  let pipeline: Pipeline
  let request: GenerationRequest
  let settings: GenerationSettings
  let pool: ThreadPool
  /// How the work shares memory.
  let plan: MemoryPlan
  let onProgress: @Sendable (GenerationProgress) -> Void

  /// Runs every stage, and hands over each picture as soon as it is finished.
  func callAsFunction(
    _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationResult {
    let clock = StageClock()
    var statistics = GenerationStatistics()
    try prepareMemory()
    // Also after an error.
    defer { endStages() }
    // 1. Prompts to embeddings, and everything that depends on time alone.
    var conditions: Conditions? = try conditions(clock, &statistics)
    let dropped = conditions?.droppedTokens ?? (0, 0)
    var images: [GeneratedImage] = []
    for group in groups {
      // 2. Noise to latents.
      guard let present = conditions else { break }
      let latents = try denoise(group, present, clock, &statistics)
      // Before the last pictures are decoded, nothing else is needed any more.
      if group.upperBound == settings.seeds.count { conditions = nil }
      // 3. Latents to pixels.
      report(.decoding, images: group, step: settings.steps)
      for (index, latents) in zip(group, latents) {
        let image = try decode(latents)
        statistics.decoderSeconds += clock.lap()
        statistics.totalSeconds = clock.total()
        statistics.peakResidentBytes = peakResidentBytes()
        images.append(
          GeneratedImage(
            index: index, image: image, latents: latents, settings: settings,
            droppedTokens: dropped, statistics: statistics))
        onImage(images[images.count - 1])
        // What the caller does with it counts in no stage.
        _ = clock.lap()
      }
    }
    return GenerationResult(
      images: images.map(\.image), latents: images.flatMap(\.latents),
      latentShape: pipeline.latentShape(for: settings), settings: settings,
      droppedTokens: dropped, statistics: statistics)
  }

  /// The pictures that go through the steps together, one after another.
  private var groups: [Range<Int>] {
    let count = settings.seeds.count
    return stride(from: 0, to: count, by: plan.picturesAtOnce).map {
      $0..<min(count, $0 + plan.picturesAtOnce)
    }
  }

  /// Runs every stage but the last, for the sake of what passes through the weights.
  func measure() throws(GenerationError) -> MeasuredGeneration {
    var statistics = GenerationStatistics()
    let clock = StageClock()
    try prepareMemory()
    defer { endStages() }
    let conditions = try conditions(clock, &statistics)
    for group in groups { _ = try denoise(group, conditions, clock, &statistics) }
    return MeasuredGeneration(settings: settings, droppedTokens: conditions.droppedTokens)
  }

  /// Predicts velocities at some places instead of following them.
  func velocities(at points: [TrajectoryPoint]) throws(GenerationError) -> [[Float]] {
    let count = pipeline.latentShape(for: settings).dropFirst().reduce(1, *)
    for point in points
    where !(0..<settings.steps).contains(point.step) || point.latents.count != count {
      throw .invalidRequest(
        "point at step \(point.step) with \(point.latents.count) latents: expected a step of "
          + "0..<\(settings.steps) and \(count)")
    }
    try prepareMemory()
    defer { endStages() }
    var statistics = GenerationStatistics()
    let clock = StageClock()
    let session = try session(try conditions(clock, &statistics), pictures: 1)
    _ = clock.lap()
    var velocities: [[Float]] = []
    for point in points {
      let found = try guidedVelocities(of: [point.latents], session, step: point.step)
      guard found[0].allSatisfy(\.isFinite) else {
        throw .notFinite(step: point.step + 1, of: settings.steps)
      }
      velocities += found
      report(.denoising, step: point.step + 1, seconds: clock.lap(), latents: [point.latents])
    }
    pool.releaseMemory()
    return velocities
  }

  /// What all pictures have in common: contexts, and everything that depends on time alone.
  private struct Conditions {
    let prompts: [EncodedPrompt]
    let modulation: AuraFlowModulation

    var droppedTokens: (prompt: Int, negativePrompt: Int) {
      (prompts.last?.droppedTokens ?? 0, prompts.count > 1 ? prompts[0].droppedTokens : 0)
    }
  }

  private func conditions(
    _ clock: StageClock, _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> Conditions {
    let prompts = try encodePrompts()
    statistics.textEncoderSeconds = clock.lap()
    report(.preparingSchedule)
    let modulation = try computing { () throws(ComputeError) in
      try pipeline.transformer.modulation(
        times: settings.sigmas.dropLast().map(modelTime), on: pool)
    }
    pipeline.transformer.scheduleWeights.endStage(plan)
    statistics.scheduleSeconds = clock.lap()
    return Conditions(prompts: prompts, modulation: modulation)
  }

  private func endStages() {
    for (_, weights) in pipeline.weightStreams { weights.endStage(plan) }
  }

  // MARK: Memory

  /// Decides which weights stay in memory.
  private func prepareMemory() throws(GenerationError) {
    try pipeline.expectFit(plan, settings)
    for (name, weights) in pipeline.weightStreams {
      weights.keep(atMost: plan[name]?.keptBytes ?? 0)
    }
  }

  // MARK: Text

  /// A prompt as the transformer takes it.
  private struct EncodedPrompt {
    let context: AuraFlowTransformer.Context
    let droppedTokens: Int
  }

  /// The prompts of both branches of guidance, or of the only one.
  private func encodePrompts() throws(GenerationError) -> [EncodedPrompt] {
    report(.encodingText)
    let prompts = try encode(
      settings.usesGuidance ? [settings.negativePrompt, settings.prompt] : [settings.prompt])
    pipeline.textEncoder.layerWeights.endStage(plan)
    return prompts
  }

  private func encode(_ texts: [String]) throws(GenerationError) -> [EncodedPrompt] {
    let tokens = texts.map {
      pipeline.tokenizer.encodeCounting($0, maximumLength: settings.maxSequenceLength)
    }
    return try computing { () throws(ComputeError) in
      let embeddings = try pipeline.textEncoder(tokens.map(\.ids), on: pool)
      return try zip(tokens, embeddings).map { tokens, embedding throws(ComputeError) in
        EncodedPrompt(
          context: try pipeline.transformer.context(
            text: embedding, padding: max(0, settings.maxSequenceLength - tokens.ids.count),
            on: pool),
          droppedTokens: tokens.droppedCount)
      }
    }
  }

  // MARK: Denoising

  private func initialLatents(_ group: Range<Int>) -> [[Float]] {
    let count = pipeline.latentShape(for: settings).dropFirst().reduce(1, *)
    return group.map { image in
      request.latents.map { Array($0[image * count..<(image + 1) * count]) }
        ?? pipeline.noise(seed: settings.seeds[image], count: count)
    }
  }

  /// Takes some pictures together from noise to latents.
  private func denoise(
    _ group: Range<Int>, _ conditions: Conditions, _ clock: StageClock,
    _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> [[Float]] {
    var latents = initialLatents(group)
    let session = try session(conditions, pictures: group.count)
    for step in 0..<settings.steps {
      let velocities = try guidedVelocities(of: latents, session, step: step)
      for image in latents.indices {
        FlowMatchEulerScheduler.step(
          &latents[image], velocity: velocities[image], from: settings.sigmas[step],
          to: settings.sigmas[step + 1])
        guard latents[image].allSatisfy(\.isFinite) else {
          throw .notFinite(step: step + 1, of: settings.steps)
        }
      }
      statistics.stepSeconds.append(clock.lap())
      report(
        .denoising, images: group, step: step + 1, seconds: statistics.stepSeconds.last ?? 0,
        latents: latents)
    }
    pipeline.transformer.stepWeights.endStage(plan)
    pool.releaseMemory()
    return latents
  }

  /// The velocity of each picture, after guidance.
  private func guidedVelocities(
    of latents: [[Float]], _ session: AuraFlowTransformer.Session, step: Int
  ) throws(GenerationError) -> [[Float]] {
    let velocities = try computing { () throws(ComputeError) in
      try pipeline.transformer.velocities(
        settings.usesGuidance ? latents + latents : latents, session, step: step, on: pool)
    }
    guard settings.usesGuidance else { return velocities }
    return latents.indices.map { guided(velocities[$0], towards: velocities[latents.count + $0]) }
  }

  /// Memory for the steps of some pictures.
  private func session(
    _ conditions: Conditions, pictures: Int
  ) throws(GenerationError) -> AuraFlowTransformer.Session {
    let shape = pipeline.latentShape(for: settings)
    return try computing { () throws(ComputeError) in
      // Unconditional branches first, as in the reference; those of all pictures together.
      try pipeline.transformer.session(
        conditions.prompts.flatMap { Array(repeating: $0.context, count: pictures) },
        height: shape[2], width: shape[3], modulation: conditions.modulation)
    }
  }

  /// Classifier-free guidance: past the unconditional velocity towards the conditional one.
  private func guided(_ unconditional: [Float], towards conditional: [Float]) -> [Float] {
    let scale = Float(settings.guidanceScale)
    return zip(unconditional, conditional).map { $0 + scale * ($1 - $0) }
  }

  private func modelTime(_ sigma: Float) -> Float {
    FlowMatchEulerScheduler(shift: settings.shift, trainTimesteps: pipeline.trainTimesteps)
      .modelTime(sigma: sigma)
  }

  // MARK: Pixels

  private func decode(_ latents: [Float]) throws(GenerationError) -> RGBImage {
    let shape = pipeline.latentShape(for: settings)
    let planes = try computing { () throws(ComputeError) in
      let input = ImagePlanes(
        planes: try Matrix(latents, rows: shape[1], columns: shape[2] * shape[3]),
        height: shape[2], width: shape[3])
      return try pipeline.decoder(input, memory: plan.decoderBytes, on: pool)
    }
    let values = UnsafeBufferPointer(
      start: planes.planes.pointer, count: 3 * planes.planes.columns)
    let image = withExtendedLifetime(planes) { () -> RGBImage? in
      guard values.allSatisfy(\.isFinite) else { return nil }
      return RGBImage(planes: values, width: planes.width, height: planes.height)
    }
    guard let image else { throw .notFiniteImage }
    return image
  }

  // MARK: Reporting

  private func computing<Value>(
    _ body: () throws(ComputeError) -> Value
  ) throws(GenerationError) -> Value {
    do throws(ComputeError) {
      return try body()
    } catch {
      throw GenerationError(error)
    }
  }

  private func report(
    _ stage: GenerationProgress.Stage, images: Range<Int> = 0..<1, step: Int = 0,
    seconds: Double = 0, latents: [[Float]] = []
  ) {
    onProgress(
      GenerationProgress(
        stage: stage, images: images, step: step, stepCount: settings.steps,
        sigma: settings.sigmas[step], seconds: seconds, latents: latents))
  }
}

extension Pipeline {
  /// Noise as PyTorch's CPU generator makes it.
  func noise(seed: UInt64, count: Int) -> [Float] {
    var noise = TorchNoise(seed: seed)
    return noise.normal(count)
  }

  /// The weights of each stage.
  fileprivate var weightStreams: [(MemoryPlan.Stage.Name, WeightStream)] {
    [
      (.textEncoder, textEncoder.layerWeights), (.schedule, transformer.scheduleWeights),
      (.steps, transformer.stepWeights), (.decoder, decoder.weights),
    ]
  }
}

extension WeightStream {
  /// Gives back what the stage kept, unless there is room for the weights of all stages.
  fileprivate func endStage(_ plan: MemoryPlan) {
    if !plan.keepsEverything { drop() }
  }
}
