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
    do throws(ComputeError) {
      return try plan(request, limit: limit)
    } catch {
      // Beyond all memory: no budget holds that.
      let stage = MemoryPlan.Stage(
        name: request.model.denoiser.stepStage.name, isRepeated: true, activationBytes: .max >> 2,
        weightBytes: 0, keptBytes: 0, passingBytes: 0)
      return MemoryPlan(
        budget: limit, baseBytes: baseBytes, stages: [stage], picturesAtOnce: 1,
        keepsEverything: false, decoderBytes: 0)
    }
  }

  private func plan<Model>(
    _ request: PreparedRequest<Model>, limit: Int?
  ) throws(ComputeError) -> MemoryPlan {
    let base = baseBytes + Self.slackBytes
    func plan(
      _ demands: StageDemands, keepsEverything: Bool
    ) throws(ComputeError) -> MemoryPlan {
      try demands.plan(
        budget: limit, base: base, keepsEverything: keepsEverything,
        decoderActivations: { (bytes) throws(ComputeError) in
          try decoderActivations(request.size, within: bytes)
        }, encoder: encoderDemand(of: request))
    }
    let demands = try demands(of: request, picturesAtOnce: 1)
    let everything = try plan(demands, keepsEverything: true)
    if everything.fits { return everything }
    let alone = try plan(demands, keepsEverything: false)
    let count = request.settings.seeds.count
    guard count > 1, let streamed = alone.repeatedStage?.streamedBytes,
      streamed > 0 || !alone.fits
    else { return alone }
    // Weights that are read anew at each step are read once for all pictures together.
    let together = try plan(
      try self.demands(of: request, picturesAtOnce: count), keepsEverything: false)
    let isLess = together.repeatedStage.map { $0.streamedBytes / count < streamed } ?? false
    return together.fits && isLess ? together : alone
  }

  /// What the stages of a request need. A run of many prompts asks for few different ones.
  func demands<Model>(
    of request: PreparedRequest<Model>, picturesAtOnce: Int
  ) throws(ComputeError) -> StageDemands {
    let key = RehearsalCache.Key(
      rowCounts: request.tokens.map(\.rowCounts), size: request.size, times: request.times.count,
      pictures: request.settings.seeds.count, picturesAtOnce: picturesAtOnce,
      keptLatents: request.settings.sampler.keptLatents,
      hasPreviews: request.settings.previews != nil,
      previewDecoder: request.settings.previews?.decoder.map { ObjectIdentifier($0) })
    return try rehearsals.demands(key) { () throws(ComputeError) in
      try StageDemands(request, picturesAtOnce: picturesAtOnce, on: device())
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
    let picturesAtOnce: Int
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
}
