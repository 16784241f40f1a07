import Compute
import Diffusion
import Images
import Machine

/// What can be done with a request, whatever the model's family.
protocol PictureRun: Sendable {
  /// Runs every stage, and hands over each picture as soon as it is finished.
  func generate(
    _ onStepEnd: ((inout GenerationStep) -> Void)?, _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationResult
  /// Runs every stage but the last, for the sake of what passes through the weights.
  func measure() throws(GenerationError) -> MeasuredGeneration
  /// Predicts velocities at some places instead of following them.
  func velocities(at points: [TrajectoryPoint]) throws(GenerationError) -> [[Float]]
  /// Encodes prompts for the sake of what passes through the weights, up to a number of rows.
  func encode(_ prompts: [String], rows: Int) throws(GenerationError)
  /// What enters the modulation at some noise levels, for strengths of the distilled guidance.
  func modulationInputs(
    levels: [Float], guidance: [Float?]
  ) throws(GenerationError) -> (rows: [Float], columns: Int)
}

/// One generation from prompt to pictures, as a straight line:
///
/// 1. tokens, sizes, levels (`PreparedRequest`)
/// 2. plan (`MemoryPlan`): which weights stay resident
/// 3. conditions: prompts through the text encoders, whose weights may then be released
/// 4. what depends on time alone, for all steps
/// 5. start: noise, given latents, or a picture with noise, which is encoded before all else
/// 6. session: memory for the steps of a group of pictures
/// 7. steps from level to level
/// 8. latents to pixels
///
/// `generate`, `measure` and `velocities` are entries that leave it at different places.
struct GenerationRun<Model: DiffusionModel>: PictureRun {
  /// 1.
  let prepared: PreparedRequest<Model>
  /// 2.
  let plan: MemoryPlan
  let device: any ComputeDevice
  /// What pictures start from where it is no picture.
  let initialLatents: InitialLatents
  /// A picture to start from, and what encodes it.
  let picture: (start: PreparedStart, encoder: any LatentEncoder)?
  let previews: PreviewChoice?
  let onProgress: @Sendable (GenerationProgress) -> Void

  var model: Model { prepared.model }
  var settings: GenerationSettings { prepared.settings }

  // MARK: Entries

  func generate(
    _ onStepEnd: ((inout GenerationStep) -> Void)?, _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationResult {
    let clock = StageClock()
    var statistics = GenerationStatistics()
    keepWeights()
    // Also after an error.
    defer { endStages() }
    let previewer = try previewer()
    let encoded = try encoded(clock, &statistics)
    var conditions: Model.Network.Prepared? = try conditions(clock, &statistics)
    var images: [GeneratedImage] = []
    for group in groups {
      let latents = try denoise(
        group, encoded, &conditions, clock, &statistics, previewer, onStepEnd)
      device.releaseMemory()
      report(.decoding, images: group, step: settings.steps)
      for (index, latents) in zip(group, latents) {
        let decoded = try decodedPicture(
          latents, by: model.codec, within: plan.decoderBytes, on: device)
        let image = picture?.start.composited(decoded) ?? decoded
        statistics.decoderSeconds += clock.lap()
        statistics.totalSeconds = clock.total()
        statistics.peakResidentBytes = peakResidentBytes()
        images.append(
          GeneratedImage(
            index: index, image: image, latents: latents.values, settings: settings,
            droppedTokens: prepared.droppedTokens, statistics: statistics))
        onImage(images[images.count - 1])
        // What the caller does with it counts in no stage.
        _ = clock.lap()
      }
    }
    return GenerationResult(
      images: images.map(\.image), latents: images.flatMap(\.latents),
      latentShape: [
        settings.seeds.count, model.denoiser.geometry.channels, prepared.size.height,
        prepared.size.width,
      ], settings: settings, droppedTokens: prepared.droppedTokens, statistics: statistics)
  }

  func measure() throws(GenerationError) -> MeasuredGeneration {
    var statistics = GenerationStatistics()
    let clock = StageClock()
    keepWeights()
    defer { endStages() }
    let encoded = try encoded(clock, &statistics)
    var conditions: Model.Network.Prepared? = try conditions(clock, &statistics)
    for group in groups {
      _ = try denoise(group, encoded, &conditions, clock, &statistics)
      device.releaseMemory()
    }
    return MeasuredGeneration(settings: settings, droppedTokens: prepared.droppedTokens)
  }

  func velocities(at points: [TrajectoryPoint]) throws(GenerationError) -> [[Float]] {
    let count = prepared.latentCount
    for point in points
    where !(0..<settings.steps).contains(point.step) || point.latents.count != count {
      throw .invalidRequest(
        "point at step \(point.step) with \(point.latents.count) latents: expected a step of "
          + "0..<\(settings.steps) and \(count)")
    }
    keepWeights()
    defer { endStages() }
    var statistics = GenerationStatistics()
    let clock = StageClock()
    let session = try session(try conditions(clock, &statistics), pictures: 1)
    _ = clock.lap()
    var velocities: [[Float]] = []
    for point in points {
      let found = try predict([prepared.latents(point.latents)], session, time: point.step)
      guard found[0].isFinite else {
        throw .notFinite(step: point.step + 1, of: settings.steps)
      }
      velocities.append(found[0].values)
      report(.denoising, step: point.step + 1, seconds: clock.lap(), latents: [point.latents])
    }
    device.releaseMemory()
    return velocities
  }

  func modulationInputs(
    levels: [Float], guidance: [Float?]
  ) throws(GenerationError) -> (rows: [Float], columns: Int) {
    keepWeights()
    defer { endStages() }
    let schedule = model.schedule(shift: .fixed(settings.shift), size: prepared.size)
    let times = levels.map { schedule.modelTime(sigma: $0) }
    return try computing { () throws(ComputeError) in
      let prompts =
        model.denoiser.modulationReadsPrompts
        ? try model.conditioner.condition(prepared.tokens, on: device) : []
      var (rows, columns): ([Float], Int) = ([], 0)
      for strength in guidance {
        let inputs = try model.denoiser.modulationInputs(
          prompts, times: times, guidance: strength, on: device)
        rows += try device.read(inputs)
        columns = inputs.columns
      }
      return (rows, columns)
    }
  }

  func encode(_ prompts: [String], rows: Int) throws(GenerationError) {
    keepWeights()
    defer { endStages() }
    let all = prompts.map {
      model.conditioner.tokens(of: $0, maximumLength: settings.maxSequenceLength)
    }
    // The first count is that of the encoder of the sequence.
    let counts = all.map { max(1, $0.rowCounts.first ?? 1) }
    let wanted = max(1, min(all.count, rows * all.count / max(1, counts.reduce(0, +))))
    var chosen = (0..<wanted).map { all[$0 * all.count / wanted] }
    if settings.usesGuidance {
      let empty = model.conditioner.tokens(of: "", maximumLength: settings.maxSequenceLength)
      chosen += Array(repeating: empty, count: 1 + wanted / Self.promptsOfEmptyOne)
    }
    _ = try computing { () throws(ComputeError) in
      try model.conditioner.condition(chosen, on: device)
    }
  }

  /// The empty prompt is half of all branches but always the same rows: few are enough.
  private static var promptsOfEmptyOne: Int { 40 }

  // MARK: 2. Weights that stay resident

  private func keepWeights() {
    for (stage, planned) in zip(stages, plan.stages) {
      stage.weights.keep(atMost: planned.keptBytes)
    }
  }

  private func endStages() { for stage in stages { end(stage) } }

  /// In the order of the plan.
  private var stages: [WeightStage] {
    (picture.map { [WeightStage(encoding: $0.encoder)] } ?? []) + prepared.stages
  }

  /// Releases what a stage kept, unless there is room for the weights of all stages.
  func end(_ stage: WeightStage) {
    if !plan.keepsEverything { stage.weights.drop() }
  }

  /// The pictures that go through the steps together, one group after another.
  private var groups: [Range<Int>] {
    let count = settings.seeds.count
    return stride(from: 0, to: count, by: plan.picturesAtOnce).map {
      $0..<min(count, $0 + plan.picturesAtOnce)
    }
  }

  // MARK: 3 and 4. Prompts, and what depends on time alone

  func conditions(
    _ clock: StageClock, _ statistics: inout GenerationStatistics
  ) throws(GenerationError) -> Model.Network.Prepared {
    report(.encodingText)
    let prompts = try computing { () throws(ComputeError) in
      try model.conditioner.condition(prepared.tokens, on: device)
    }
    for stage in model.conditioner.stages { end(stage) }
    device.releaseMemory()
    statistics.textEncoderSeconds = clock.lap()
    report(.preparingSchedule)
    let conditions = try computing { () throws(ComputeError) in
      try model.denoiser.prepare(
        prompts, times: prepared.times, guidance: prepared.distilledGuidance,
        size: prepared.size, on: device)
    }
    for stage in model.denoiser.scheduleStages { end(stage) }
    statistics.scheduleSeconds = clock.lap()
    return conditions
  }

  // MARK: Reporting

  func report(
    _ stage: GenerationProgress.Stage, images: Range<Int> = 0..<1, step: Int = 0,
    seconds: Double = 0, latents: [[Float]] = [], previews: [RGBImage] = []
  ) {
    onProgress(
      GenerationProgress(
        stage: stage, images: images, step: step, stepCount: settings.steps,
        sigma: settings.sigmas[step], seconds: seconds, latents: latents,
        previews: previews))
  }
}

/// Noise as PyTorch's CPU generator makes it.
func startNoise(seed: UInt64, count: Int) -> [Float] {
  var noise = TorchNoise(seed: seed)
  return noise.normal(count)
}
