import Diffusion

/// Pictures on their way through the steps.
struct GroupState<Model: DiffusionModel> {
  /// A picture's random numbers.
  struct NoiseStream {
    fileprivate(set) var noise: TorchNoise
    /// Values of one drawing.
    fileprivate let length: Int
    /// Drawings in the steps so far.
    fileprivate(set) var count = 0

    /// The next noise of the size of the latents.
    mutating func draw() -> [Float] {
      count += 1
      return noise.normal(length)
    }
  }

  let lanes: [RunBatch<Model>.Lane]
  let starts: [GenerationStart]
  /// The step that comes next when the work begins.
  let firstStep: Int
  var latents: [Latents]
  var streams: [NoiseStream]
  var sampler: any Sampler
  /// What became undefined, by place in `lanes`.
  private(set) var failures: [(lane: Int, error: GenerationError)] = []

  /// The beginning, or the place where an earlier run ended.
  ///
  /// - Parameters:
  ///   - lanes: pictures whose next step is the same.
  ///   - request: one of theirs.
  ///   - start: what a picture starts from, by its stream of noise.
  init(
    _ lanes: [RunBatch<Model>.Lane], of request: RunRequest<Model>,
    start: (RunBatch<Model>.Lane, inout TorchNoise) -> GenerationStart
  ) {
    var starts: [GenerationStart] = []
    var streams: [NoiseStream] = []
    let prepared = request.prepared
    for lane in lanes {
      var noise = TorchNoise(seed: lane.seed)
      starts.append(start(lane, &noise))
      streams.append(NoiseStream(noise: noise, length: prepared.latentCount))
    }
    var sampler = prepared.settings.sampler.sampler()
    let unfinished = lanes.compactMap(\.unfinished)
    firstStep = unfinished.first?.step ?? 0
    var latents = starts.map(\.latents)
    if firstStep > 0 {
      latents = unfinished.map { prepared.latents($0.latents) }
      for (lane, picture) in unfinished.enumerated() {
        for _ in 0..<picture.noiseCount { _ = streams[lane].draw() }
      }
      let history = unfinished[0].history.indices.map { index in
        unfinished.map { prepared.latents($0.history[index]) }
      }
      sampler.resume(history, at: firstStep, of: prepared.run)
    }
    self.lanes = lanes
    self.starts = starts
    self.latents = latents
    self.streams = streams
    self.sampler = sampler
  }

  /// What the sampler keeps, for each picture.
  var histories: [[[Float]]] {
    let history = sampler.history
    return lanes.indices.map { lane in history.map { $0[lane].values } }
  }

  /// Notes pictures whose latents have become undefined. The others go on.
  ///
  /// - Throws: `GenerationError.notFinite` if there are no others.
  mutating func noteFailures(after step: Int, of count: Int) throws(GenerationError) {
    for (lane, latents) in latents.enumerated()
    where !latents.isFinite && !failures.contains(where: { $0.lane == lane }) {
      failures.append((lane, .notFinite(step: step, of: count)))
    }
    if failures.count == lanes.count, let first = failures.first { throw first.error }
  }
}
