import Compute
import Diffusion
import Images

/// The latents of pictures that went through the steps together.
struct FinishedGroup<Model: DiffusionModel> {
  let lanes: [RunBatch<Model>.Lane]
  let latents: [Latents]
  /// What became undefined on the way, by place in `lanes`.
  let failures: [(lane: Int, error: GenerationError)]
}

/// 5 to 7: to finished latents.
extension GenerationRun {
  /// Takes some pictures together from noise to latents. With the last ones that need them the
  /// conditions go: while these are decoded, nothing else is needed any more.
  func denoise(
    _ group: [Lane], of batch: RunBatch<Model>, _ conditions: inout Conditions?, isLast: Bool,
    _ encoded: [Int: EncodedPicture], _ record: inout Record, _ previewer: Previewer?,
    _ onStepEnd: ((inout GenerationStep) -> Void)?
  ) throws(GenerationError) -> FinishedGroup<Model> {
    defer { if isLast { conditions = nil } }
    var state = GroupState(group, of: batch.first) { lane, noise in start(lane, encoded, &noise) }
    guard let present = conditions else {
      return FinishedGroup(lanes: group, latents: state.latents, failures: [])
    }
    let session = try session(present, group, of: batch)
    let settings = batch.first.settings
    for step in state.firstStep..<settings.steps {
      let pictures = try advance(
        &state, step, of: batch, session, predictsPictures: previewer != nil)
      try state.noteFailures(after: step + 1, of: settings.steps)
      record.statistics.stepSeconds.append(record.clock.lap())
      var previews: [RGBImage] = []
      if let previewer {
        previews = try previewed(pictures, after: step + 1, of: batch, by: previewer)
      }
      report(
        .denoising, group, of: batch, step: step + 1,
        seconds: record.statistics.stepSeconds.last ?? 0, latents: state.latents.map(\.values),
        previews: previews)
      _ = record.clock.lap()
      if let onStepEnd { try hand(&state, after: step, of: batch, to: onStepEnd) }
    }
    end(model.denoiser.stepStage, batch.plan.keepsEverything)
    return FinishedGroup(lanes: group, latents: state.latents, failures: state.failures)
  }

  /// Makes one step.
  ///
  /// - Returns: what the step's last prediction takes the pictures to be, if that is asked for.
  /// - Throws: what `predict` throws.
  private func advance(
    _ state: inout GroupState<Model>, _ step: Int, of batch: RunBatch<Model>,
    _ session: Model.Network.Session, predictsPictures: Bool
  ) throws(GenerationError) -> [Latents] {
    let (request, sigmas) = (batch.first.prepared, batch.first.settings.sigmas)
    var (latents, streams) = (state.latents, state.streams)
    var pictures: [Latents] = []
    try state.sampler.step(&latents, step, of: request.run, noise: { streams[$0].draw() }) {
      latents, level throws(GenerationError) in
      let derivatives = try predict(latents, session, request, time: level)
      if predictsPictures {
        pictures = .sum((1, latents), (-Double(sigmas[level]), derivatives))
      }
      return derivatives
    }
    for (lane, start) in state.starts.enumerated() {
      start.restore(&latents[lane], sigma: sigmas[step + 1])
    }
    (state.latents, state.streams) = (latents, streams)
    return pictures
  }

  /// Lets the caller change latents, or end the work.
  private func hand(
    _ state: inout GroupState<Model>, after step: Int, of batch: RunBatch<Model>,
    to onStepEnd: (inout GenerationStep) -> Void
  ) throws(GenerationError) {
    let settings = batch.first.settings
    var ended = GenerationStep(
      pictures: state.lanes.map(\.place), step: step + 1, stepCount: settings.steps,
      sigma: settings.sigmas[step + 1], latents: state.latents.map(\.values),
      histories: state.histories, noiseCounts: state.streams.map(\.count))
    onStepEnd(&ended)
    if ended.isCancelled { throw .cancelled }
    guard ended.latents.map(\.count) == state.latents.map(\.values.count) else {
      throw .invalidRequest(
        "latents of another shape were handed back after step \(step + 1): expected "
          + "\(state.lanes.count) times \(batch.first.prepared.latentCount) values")
    }
    state.latents = zip(state.latents, ended.latents).map { $0.with($1) }
    try state.noteFailures(after: step + 1, of: settings.steps)
  }

  /// The prediction for each picture, after guidance.
  func predict(
    _ latents: [Latents], _ session: Model.Network.Session, _ request: PreparedRequest<Model>,
    time: Int
  ) throws(GenerationError) -> [Latents] {
    let branches = request.guidance.branches(atLevel: time)
    let inputs = branches.flatMap { _ in latents }
    return request.guidance.combine(
      try computing { () throws(ComputeError) in
        try model.denoiser.predict(
          inputs, session, time: time, from: branches.lowerBound * latents.count, on: device)
      }, atLevel: time)
  }
}
