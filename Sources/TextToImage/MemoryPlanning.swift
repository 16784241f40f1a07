import Compute
import ComputeCPU
import Diffusion
import Machine
import Synchronization

extension Pipeline {
  /// Plans the memory of a request.
  ///
  /// - Parameters:
  ///   - settings: what is to be made.
  ///   - limit: bytes that the process may hold; nil for no limit.
  /// - Returns: the plan; it `fits` if the budget can be held.
  public func memoryPlan(for settings: GenerationSettings, limit: Int?) -> MemoryPlan {
    func plan<Model: DiffusionModel>(_ model: Model) -> MemoryPlan {
      memoryPlan(for: PreparedRequest(model, settings), limit: limit)
    }
    return plan(model)
  }

  func memoryPlan<Model>(for request: PreparedRequest<Model>, limit: Int?) -> MemoryPlan {
    memoryPlan(for: PlannedPictures(request), limit: limit)
  }

  /// Plans the memory of requests that may go through the steps together.
  func memoryPlan<Model>(for pictures: PlannedPictures<Model>, limit: Int?) -> MemoryPlan {
    do throws(ComputeError) {
      return try plan(pictures, limit: limit)
    } catch {
      // Beyond all memory: no budget holds that.
      let stage = MemoryPlan.Stage(
        name: pictures.request.model.denoiser.stepStage.name, isRepeated: true,
        activationBytes: .max >> 2, weightBytes: 0, keptBytes: 0, passingBytes: 0)
      return MemoryPlan(
        budget: limit, baseBytes: baseBytes, stages: [stage], picturesAtOnce: 1,
        keepsEverything: false, decoderBytes: 0)
    }
  }

  private func plan<Model>(
    _ pictures: PlannedPictures<Model>, limit: Int?
  ) throws(ComputeError) -> MemoryPlan {
    let request = pictures.request
    func plan(
      _ picturesAtOnce: Int, keepsEverything: Bool = false
    ) throws(ComputeError) -> MemoryPlan {
      try demands(of: request, pictures.shape(picturesAtOnce)).plan(
        budget: limit, base: baseBytes + Self.slackBytes + pictures.heldBytes,
        keepsEverything: keepsEverything,
        decoderActivations: { (bytes) throws(ComputeError) in
          try decoderActivations(request.size, within: bytes)
        }, encoder: encoderDemand(of: request))
    }
    if pictures.mayKeepEverything {
      let everything = try plan(1, keepsEverything: true)
      if everything.fits { return everything }
    }
    let alone = try plan(1)
    let most = min(pictures.count, Self.largestGroup)
    guard most > 1, let streamed = alone.repeatedStage?.streamedBytes,
      streamed > 0 || !alone.fits
    else { return alone }
    // Weights that are read anew at each step are read once for all pictures of a group.
    var (low, high, best) = (1, most, alone)
    while low < high {
      // The largest first: that is the usual answer.
      let size = high == most ? most : (low + high + 1) / 2
      let together = try plan(size)
      if together.fits { (low, best) = (size, together) } else { high = size - 1 }
    }
    // Groups of one size: the last one would be smaller and read as much.
    let groups = (pictures.count + best.picturesAtOnce - 1) / best.picturesAtOnce
    let size = (pictures.count + groups - 1) / groups
    if size < best.picturesAtOnce { best = try plan(size) }
    let isLess =
      best.repeatedStage.map { $0.streamedBytes / best.picturesAtOnce < streamed } ?? false
    return best.fits && isLess ? best : alone
  }

  /// Most pictures that go through the steps together. An eighth of a step's reading is little
  /// beside its arithmetic, and the first picture of a group comes when all of it is done.
  static let largestGroup = 8

  /// What the stages of a request need. A run of many prompts asks for few different ones.
  func demands<Model>(
    of request: PreparedRequest<Model>, _ shape: GroupShape = GroupShape()
  ) throws(ComputeError) -> StageDemands {
    let key = RehearsalCache.Key(
      rowCounts: request.tokens.map(\.rowCounts), size: request.size, times: request.times.count,
      pictures: request.settings.seeds.count, shape: shape,
      keptLatents: request.settings.sampler.keptLatents,
      hasPreviews: request.settings.previews != nil,
      previewDecoder: request.settings.previews?.decoder.map { ObjectIdentifier($0) })
    return try rehearsals.demands(key) { () throws(ComputeError) in
      try StageDemands(request, shape, on: device())
    }
  }

  func decoderActivations(
    _ size: LatentSize, within bytes: Int?
  ) throws(ComputeError) -> Int {
    try rehearsals.decoding(.init(size: size, bytes: bytes)) { () throws(ComputeError) in
      try model.codec.activationBytes(size, within: bytes, on: device())
    }
  }

  /// Memory that no stage accounts for: stacks, allocator, pages at the edges of mapped weights.
  static let slackBytes = 8 << 20
}

/// Rehearsals that were made: their results depend on sizes and on what is kept beside.
final class RehearsalCache: Sendable {
  /// What activations before the decoder depend on.
  struct Key: Hashable, Sendable {
    let rowCounts: [[Int]]
    let size: LatentSize
    let times: Int
    let pictures: Int
    let shape: GroupShape
    let keptLatents: Int
    let hasPreviews: Bool
    let previewDecoder: ObjectIdentifier?
  }

  /// What activations of the decoder or the encoder depend on.
  struct DecodingKey: Hashable, Sendable {
    var isEncoding = false
    let size: LatentSize
    let bytes: Int?
  }

  /// Most results that are kept of either kind.
  private static let capacity = 1024

  private let demands = Mutex<[Key: StageDemands]>([:])
  private let decodings = Mutex<[DecodingKey: Int]>([:])
  private let texts = Mutex<[[[Int]]: TextDemand]>([:])

  /// The demands of a key, made if they are not known.
  func demands(
    _ key: Key, _ make: () throws(ComputeError) -> StageDemands
  ) throws(ComputeError) -> StageDemands {
    if let known = demands.withLock({ $0[key] }) { return known }
    let made = try make()
    demands.withLock { demands in
      if demands.count >= Self.capacity { demands = [:] }
      demands[key] = made
    }
    return made
  }

  /// Bytes that decoding or encoding takes, found out if they are not known.
  func decoding(
    _ key: DecodingKey, _ make: () throws(ComputeError) -> Int
  ) throws(ComputeError) -> Int {
    if let known = decodings.withLock({ $0[key] }) { return known }
    let made = try make()
    decodings.withLock { decodings in
      if decodings.count >= Self.capacity { decodings = [:] }
      decodings[key] = made
    }
    return made
  }

  /// What encoding prompts of some rows takes, found out if it is not known.
  func text(
    _ rowCounts: [[Int]], _ make: () throws(ComputeError) -> TextDemand
  ) throws(ComputeError) -> TextDemand {
    if let known = texts.withLock({ $0[rowCounts] }) { return known }
    let made = try make()
    texts.withLock { texts in
      if texts.count >= Self.capacity { texts = [:] }
      texts[rowCounts] = made
    }
    return made
  }
}
