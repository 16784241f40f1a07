import Compute
import Diffusion
import Images
import Machine

/// What can be done with requests, whatever the model's family.
protocol PictureRun: Sendable {
  /// Runs every stage, and hands over each picture as soon as it is finished.
  func generate(
    _ onStepEnd: ((inout GenerationStep) -> Void)?, _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationStatistics
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

/// A run from prompts to pictures, as a straight line:
///
/// 1. tokens, sizes, levels (`PreparedRequest`)
/// 2. plan (`RunChunk`, `RunBatch`, `MemoryPlan`): what goes through the steps together, and which
///    weights stay resident
/// 3. conditions: all prompts through the text encoders, whose weights may then be released
/// 4. what depends on times and prompts alone, for all steps of a group
/// 5. start: noise, given latents, or a picture with noise, which is encoded before all else
/// 6. session: memory for the steps of a group of pictures
/// 7. steps from level to level
/// 8. latents to pixels
///
/// Entries leave it at different places.
struct GenerationRun<Model: DiffusionModel>: PictureRun {
  let model: Model
  /// At least one, each with at least one batch of at least one request.
  let chunks: [RunChunk<Model>]
  /// The pictures to start from.
  let starts: [RunStart]
  /// What encodes them; nil if there are none.
  let encoder: (any LatentEncoder)?
  let device: any ComputeDevice
  let onProgress: @Sendable (GenerationProgress) -> Void

  typealias Lane = RunBatch<Model>.Lane

  /// Where the time went.
  struct Record {
    let clock = StageClock()
    var statistics = GenerationStatistics()
  }

  /// The only request of entries that take one.
  var single: RunRequest<Model> { chunks[0].batches[0].first }

  // MARK: Entries

  func generate(
    _ onStepEnd: ((inout GenerationStep) -> Void)?, _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationStatistics {
    var record = Record()
    try eachGroup(&record, onStepEnd) { batch, group, record throws(GenerationError) in
      try decode(group, of: batch, &record, onImage)
    }
    record.statistics.totalSeconds = record.clock.total()
    record.statistics.peakResidentBytes = peakResidentBytes()
    return record.statistics
  }

  func measure() throws(GenerationError) -> MeasuredGeneration {
    var record = Record()
    try eachGroup(&record, nil) { _, group, _ throws(GenerationError) in
      if let failure = group.failures.first { throw failure.error }
    }
    return MeasuredGeneration(
      settings: single.settings, droppedTokens: single.prepared.droppedTokens)
  }

  /// Takes all pictures from prompts to latents, group by group.
  ///
  /// - Parameters:
  ///   - record: where the time goes.
  ///   - onStepEnd: may change latents.
  ///   - body: what is done with a group's latents, while nothing of the steps is resident.
  /// - Throws: `GenerationError`, also of `body`.
  private func eachGroup(
    _ record: inout Record, _ onStepEnd: ((inout GenerationStep) -> Void)?,
    _ body: (RunBatch<Model>, FinishedGroup<Model>, inout Record) throws(GenerationError) -> Void
  ) throws(GenerationError) {
    // Also after an error.
    defer { for batch in chunks.flatMap(\.batches) { endStages(of: batch) } }
    var previewers = Previewers()
    for chunk in chunks {
      keepWeights(of: chunk.batches[0])
      let encoded = try encodedPictures(of: chunk, &record)
      var prompts = try encodedPrompts(of: chunk, &record)
      for batch in chunk.batches {
        keepWeights(of: batch)
        let previewer = try previewers.previewer(for: batch, of: self)
        let groups = batch.groups
        var conditions: Conditions?
        for (number, group) in groups.enumerated() {
          let keys = Self.keys(of: group)
          if conditions?.keys != keys, group[0].hasSteps {
            conditions = nil
            conditions = try self.conditions(of: group, prompts, batch, &record)
          }
          let finished = try denoise(
            group, of: batch, &conditions,
            isLast: number + 1 == groups.count || Self.keys(of: groups[number + 1]) != keys,
            encoded, &record, previewer, onStepEnd)
          prompts.release(group)
          device.releaseMemory()
          try body(batch, finished, &record)
        }
      }
    }
  }

  /// Turns a group's latents into pictures and hands them over. A picture that cannot be made does
  /// not take the others with it.
  private func decode(
    _ group: FinishedGroup<Model>, of batch: RunBatch<Model>, _ record: inout Record,
    _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) {
    var failures = group.failures.map(\.error)
    let failed = Set(group.failures.map(\.lane))
    report(.decoding, group.lanes, of: batch, step: batch.first.settings.steps)
    for (index, (lane, latents)) in zip(group.lanes, group.latents).enumerated()
    where !failed.contains(index) {
      do throws(GenerationError) {
        let decoded = try decodedPicture(
          latents, by: model.codec, within: batch.plan.decoderBytes, on: device)
        let image = lane.request.start.map { starts[$0].composited(decoded) } ?? decoded
        record.statistics.decoderSeconds += record.clock.lap()
        record.statistics.totalSeconds = record.clock.total()
        record.statistics.peakResidentBytes = peakResidentBytes()
        onImage(
          GeneratedImage(
            request: lane.request.index, index: lane.image, image: image, latents: latents.values,
            settings: lane.request.settings, droppedTokens: lane.request.prepared.droppedTokens,
            statistics: record.statistics))
        // What the caller does with it counts in no stage.
        _ = record.clock.lap()
      } catch {
        guard case .notFiniteImage = error else { throw error }
        failures.append(error)
      }
    }
    if let first = failures.first { throw first }
  }

  // MARK: 2. Weights that stay resident

  func keepWeights(of batch: RunBatch<Model>) {
    for (stage, planned) in zip(stages(of: batch), batch.plan.stages) {
      stage.weights.keep(atMost: planned.keptBytes)
    }
  }

  func endStages(of batch: RunBatch<Model>) {
    for stage in stages(of: batch) { end(stage, batch.plan.keepsEverything) }
  }

  /// In the order of the plan.
  private func stages(of batch: RunBatch<Model>) -> [WeightStage] {
    let first = batch.first.start == nil ? nil : encoder.map { WeightStage(encoding: $0) }
    return (first.map { [$0] } ?? []) + batch.first.prepared.stages
  }

  /// Releases what a stage kept, unless there is room for the weights of all stages.
  func end(_ stage: WeightStage, _ keepsEverything: Bool) {
    if !keepsEverything { stage.weights.drop() }
  }

  // MARK: Reporting

  /// Tells how far some pictures are.
  func report(
    _ stage: GenerationProgress.Stage, _ group: [Lane], of batch: RunBatch<Model>, step: Int = 0,
    seconds: Double = 0, latents: [[Float]] = [], previews: [RGBImage] = []
  ) {
    let settings = batch.first.settings
    onProgress(
      GenerationProgress(
        stage: stage, pictures: group.map(\.place), step: step, stepCount: settings.steps,
        sigma: settings.sigmas[step], seconds: seconds, latents: latents, previews: previews))
  }
}

/// Noise as PyTorch's CPU generator makes it.
func startNoise(seed: UInt64, count: Int) -> [Float] {
  var noise = TorchNoise(seed: seed)
  return noise.normal(count)
}
