import Compute
import Diffusion

/// Entries for what one request's weights and predictions are, instead of its pictures.
extension GenerationRun {
  func velocities(at points: [TrajectoryPoint]) throws(GenerationError) -> [[Float]] {
    let (batch, settings, request) = (chunks[0].batches[0], single.settings, single.prepared)
    let count = request.latentCount
    for point in points
    where !(0..<settings.steps).contains(point.step) || point.latents.count != count {
      throw .invalidRequest(
        "point at step \(point.step) with \(point.latents.count) latents: expected a step of "
          + "0..<\(settings.steps) and \(count)")
    }
    keepWeights(of: batch)
    defer { endStages(of: batch) }
    var record = Record()
    let group = Array(batch.groups[0].prefix(1))
    let prompts = try encodedPrompts(of: chunks[0], &record)
    let conditions = try conditions(of: group, prompts, batch, &record)
    let session = try session(conditions, group, of: batch)
    _ = record.clock.lap()
    var velocities: [[Float]] = []
    for point in points {
      let found = try predict([request.latents(point.latents)], session, request, time: point.step)
      guard found[0].isFinite else {
        throw .notFinite(step: point.step + 1, of: settings.steps)
      }
      velocities.append(found[0].values)
      report(
        .denoising, group, of: batch, step: point.step + 1, seconds: record.clock.lap(),
        latents: [point.latents])
    }
    device.releaseMemory()
    return velocities
  }

  func modulationInputs(
    levels: [Float], guidance: [Float?]
  ) throws(GenerationError) -> (rows: [Float], columns: Int) {
    let batch = chunks[0].batches[0]
    keepWeights(of: batch)
    defer { endStages(of: batch) }
    let schedule = model.schedule(shift: .fixed(single.settings.shift), size: single.prepared.size)
      .configured(by: single.settings.levels)
    let times = levels.map { schedule.modelTime(sigma: $0) }
    return try computing { () throws(ComputeError) in
      let prompts =
        model.denoiser.modulationReadsPrompts
        ? try model.conditioner.condition(single.prepared.tokens, on: device) : []
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
    let (batch, settings) = (chunks[0].batches[0], single.settings)
    keepWeights(of: batch)
    defer { endStages(of: batch) }
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
}
