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

  /// Runs every stage.
  func callAsFunction() throws(GenerationError) -> GenerationResult {
    let clock = StageClock()
    var statistics = GenerationStatistics()
    try prepareMemory()
    // Also after an error.
    defer { endStages() }
    let (latents, dropped) = try sample(clock, &statistics)
    // 4. Latents to pixels.
    report(.decoding, step: settings.steps)
    var images: [RGBImage] = []
    for image in latents { images.append(try decode(image)) }
    statistics.decoderSeconds = clock.lap()
    statistics.totalSeconds = clock.total()
    statistics.peakResidentBytes = peakResidentBytes()
    return GenerationResult(
      images: images, latents: latents.flatMap { $0 },
      latentShape: pipeline.latentShape(for: settings), settings: settings,
      droppedTokens: dropped, statistics: statistics)
  }

  /// Runs every stage but the last, for the sake of what passes through the weights.
  func measure() throws(GenerationError) -> MeasuredGeneration {
    var statistics = GenerationStatistics()
    try prepareMemory()
    defer { endStages() }
    let (_, dropped) = try sample(StageClock(), &statistics)
    return MeasuredGeneration(settings: settings, droppedTokens: dropped)
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
    let session = try session(try encodePrompts())
    let clock = StageClock()
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

  /// From prompts to latents.
  private func sample(
    _ clock: StageClock, _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> (
    latents: [[Float]], droppedTokens: (prompt: Int, negativePrompt: Int)
  ) {
    // 1. Prompts to embeddings.
    let prompts = try encodePrompts()
    statistics.textEncoderSeconds = clock.lap()
    // 2. Everything that depends on time alone. 3. Noise to latents.
    let latents = try denoise(initialLatents(), prompts, clock, &statistics)
    pipeline.transformer.stepWeights.endStage(plan)
    pool.releaseMemory()
    return (
      latents,
      (prompts.last?.droppedTokens ?? 0, prompts.count > 1 ? prompts[0].droppedTokens : 0)
    )
  }

  private func endStages() {
    for (_, weights) in pipeline.weightStreams { weights.endStage(plan) }
  }

  // MARK: Memory

  /// Decides which weights stay in memory.
  private func prepareMemory() throws(GenerationError) {
    guard plan.fits else {
      throw .overBudget(MemoryAdvice(pipeline, settings, plan).message(settings, plan))
    }
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

  private func initialLatents() -> [[Float]] {
    let shape = pipeline.latentShape(for: settings)
    let count = shape.dropFirst().reduce(1, *)
    if let latents = request.latents {
      return (0..<shape[0]).map { Array(latents[$0 * count..<($0 + 1) * count]) }
    }
    return settings.seeds.map { pipeline.noise(seed: $0, count: count) }
  }

  private func denoise(
    _ initial: [[Float]], _ prompts: [EncodedPrompt], _ clock: StageClock,
    _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> [[Float]] {
    var latents = initial
    let session = try session(prompts)
    statistics.scheduleSeconds = clock.lap()
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
        .denoising, step: step + 1, seconds: statistics.stepSeconds.last ?? 0, latents: latents)
    }
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

  /// Everything that depends on time alone, and memory for the steps.
  private func session(
    _ prompts: [EncodedPrompt]
  ) throws(GenerationError) -> AuraFlowTransformer.Session {
    report(.preparingSchedule)
    let shape = pipeline.latentShape(for: settings)
    return try computing { () throws(ComputeError) in
      let modulation = try pipeline.transformer.modulation(
        times: settings.sigmas.dropLast().map(modelTime), on: pool)
      pipeline.transformer.scheduleWeights.endStage(plan)
      // Unconditional branches first, as in the reference; those of all pictures together.
      return try pipeline.transformer.session(
        prompts.flatMap { prompt in settings.seeds.map { _ in prompt.context } },
        height: shape[2], width: shape[3], modulation: modulation)
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
    _ stage: GenerationProgress.Stage, step: Int = 0, seconds: Double = 0, latents: [[Float]] = []
  ) {
    onProgress(
      GenerationProgress(
        stage: stage, step: step, stepCount: settings.steps, sigma: settings.sigmas[step],
        seconds: seconds, latents: latents))
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

/// Measures stages with the monotonic clock.
private final class StageClock {
  private let start = ContinuousClock.now
  private var last = ContinuousClock.now

  /// Seconds since the last call, or since the beginning.
  func lap() -> Double {
    let now = ContinuousClock.now
    defer { last = now }
    return (now - last) / .seconds(1)
  }

  func total() -> Double { (ContinuousClock.now - start) / .seconds(1) }
}

/// The most memory that this process ever had resident, in bytes (`VmHWM`).
public func peakResidentBytes() -> Int {
  kibibytes("VmHWM", in: "/proc/self/status") ?? 0
}
