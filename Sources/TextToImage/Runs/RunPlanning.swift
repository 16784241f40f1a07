import Compute
import ComputeCPU
import Diffusion

/// Pictures of one kind whose memory is planned.
struct PlannedPictures<Model: DiffusionModel> {
  /// One that stands for all: the one with the longest prompts.
  let request: PreparedRequest<Model>
  /// All of them.
  let count: Int
  /// Requests that they belong to.
  let requests: Int
  /// What prompts of other pictures take that are encoded already.
  var heldBytes = 0
  /// Whether weights of earlier stages may stay resident.
  var mayKeepEverything = true

  /// The pictures of one request.
  init(_ request: PreparedRequest<Model>) {
    self.request = request
    count = request.settings.seeds.count
    requests = 1
  }

  /// The pictures of several requests; at least one.
  init(_ requests: [RunRequest<Model>], mayKeepEverything: Bool) {
    func rows(_ request: RunRequest<Model>) -> Int {
      request.prepared.tokens.reduce(0) { $0 + $1.rowCounts.reduce(0, +) }
    }
    let longest = requests.max { rows($0) < rows($1) } ?? requests[0]
    request = longest.prepared
    count = requests.reduce(0) { $0 + $1.images.count }
    self.requests = requests.count
    self.mayKeepEverything = mayKeepEverything
  }

  /// What a group of some of them is like.
  func shape(_ picturesAtOnce: Int) -> GroupShape {
    GroupShape(
      picturesAtOnce: picturesAtOnce, requests: min(requests, picturesAtOnce),
      precedesOthers: count > max(requests, picturesAtOnce))
  }
}

/// What encoding some prompts takes.
struct TextDemand: Sendable {
  /// Activations and results.
  let peakBytes: Int
  /// Results alone.
  let keptBytes: Int
}

extension Pipeline {
  /// Divides a run into parts whose prompts are held at once, and these into batches.
  ///
  /// - Parameters:
  ///   - requests: all of the run; at least one.
  ///   - limit: bytes that the process may hold; nil for no limit.
  /// - Returns: the parts, in the order of the requests.
  /// - Throws: `GenerationError.overBudget` for the first request that memory does not suffice for.
  func chunks<Model>(
    _ requests: [RunRequest<Model>], limit: Int?
  ) throws(GenerationError) -> [RunChunk<Model>] {
    var chunks: [RunChunk<Model>] = []
    var rest = requests[...]
    while !rest.isEmpty {
      var count = try prefixCount(rest, limit: limit)
      while true {
        let chunk = try chunk(Array(rest.prefix(count)), limit: limit)
        if count > 1, !chunk.batches.allSatisfy(\.plan.fits) {
          count /= 2
          continue
        }
        for batch in chunk.batches { try expectFit(batch.plan, batch.first.prepared) }
        chunks.append(chunk)
        rest = rest.dropFirst(count)
        break
      }
    }
    return chunks
  }

  /// Requests whose encoded prompts take no more than a share of the memory.
  private func prefixCount<Model>(
    _ requests: ArraySlice<RunRequest<Model>>, limit: Int?
  ) throws(GenerationError) -> Int {
    let most = limit.map { max(0, $0 - baseBytes) / 8 } ?? 1 << 30
    var (bytes, count) = (0, 0)
    var seen: Set<PromptIdentity> = []
    for request in requests {
      for prompt in request.prepared.prompts where seen.insert(prompt.key).inserted {
        bytes += try textDemand([prompt], of: request.prepared.model).keptBytes
      }
      if count > 0, bytes > most { break }
      count += 1
    }
    return count
  }

  /// Plans some requests whose prompts are held at once.
  private func chunk<Model>(
    _ requests: [RunRequest<Model>], limit: Int?
  ) throws(GenerationError) -> RunChunk<Model> {
    var seen: Set<PromptIdentity> = []
    let prompts = requests.filter(\.hasSteps).flatMap(\.prepared.prompts).filter {
      seen.insert($0.key).inserted
    }
    let model = requests[0].prepared.model
    var heldBytes = 0
    for prompt in prompts { heldBytes += try textDemand([prompt], of: model).keptBytes }
    // Beside its own, those of others: mean and deviation of the latents of each.
    let pictures = Set(requests.compactMap(\.start)).count
    heldBytes += 8 * max(0, pictures - 1) * (requests.map(\.prepared.latentCount).max() ?? 0)
    let kinds = Self.alike(requests)
    func planned(mayKeepEverything: Bool) throws(GenerationError) -> [MemoryPlan] {
      var plans: [MemoryPlan] = []
      for alike in kinds {
        var pictures = PlannedPictures(alike, mayKeepEverything: mayKeepEverything)
        // A plan counts the prompts of its own request.
        var own = 0
        for prompt in pictures.request.prompts {
          own += try textDemand([prompt], of: model).keptBytes
        }
        pictures.heldBytes = max(0, heldBytes - own)
        plans.append(memoryPlan(for: pictures, limit: limit))
      }
      return plans
    }
    var plans = try planned(mayKeepEverything: true)
    let keepsEverything = plans.allSatisfy(\.keepsEverything)
    if !keepsEverything { plans = try planned(mayKeepEverything: false) }
    var batches = zip(kinds, plans).flatMap { Self.batches($0, $1) }
    // Where nothing goes together, the order is that of the requests.
    if plans.allSatisfy({ $0.picturesAtOnce == 1 }) {
      batches.sort { $0.first.index < $1.first.index }
    }
    return RunChunk(
      batches: batches, passes: try passes(prompts, of: model, batches[0].plan, heldBytes))
  }

  /// The pictures of some requests by kind, in the order of the first of each.
  private static func alike<Model>(_ requests: [RunRequest<Model>]) -> [[RunRequest<Model>]] {
    var places: [RunRequest<Model>.Kind: Int] = [:]
    var kinds: [[RunRequest<Model>]] = []
    for part in requests.flatMap(\.parts) {
      if let place = places[part.kind] {
        kinds[place].append(part.request)
      } else {
        places[part.kind] = kinds.count
        kinds.append([part.request])
      }
    }
    return kinds
  }

  /// One batch; or one for each request, in their order, where nothing is gained by going together.
  private static func batches<Model>(
    _ requests: [RunRequest<Model>], _ plan: MemoryPlan
  ) -> [RunBatch<Model>] {
    guard plan.picturesAtOnce == 1 else { return [RunBatch(requests: requests, plan: plan)] }
    return requests.map { RunBatch(requests: [$0], plan: plan) }
  }

  /// Most prompts that go through the text encoders together.
  private static let largestPass = 32

  /// As many prompts as memory holds go through the encoders together.
  private func passes<Model>(
    _ prompts: [PreparedPrompt<Model>], of model: Model, _ plan: MemoryPlan, _ heldBytes: Int
  ) throws(GenerationError) -> [[PreparedPrompt<Model>]] {
    let encoders = Set(model.conditioner.stages.map(\.name))
    let weightBytes = plan.stages.filter { encoders.contains($0.name) }
      .map { $0.keptBytes + $0.passingBytes }
    let weights = plan.keepsEverything ? weightBytes.reduce(0, +) : weightBytes.max() ?? 0
    let room = plan.budget.map {
      $0 - $0 / 50 - baseBytes - Self.slackBytes - heldBytes - weights
    }
    var passes: [[PreparedPrompt<Model>]] = []
    var rest = prompts[...]
    while !rest.isEmpty {
      var count = min(rest.count, Self.largestPass)
      if let room {
        while count > 1, try textDemand(Array(rest.prefix(count)), of: model).peakBytes > room {
          count /= 2
        }
      }
      passes.append(Array(rest.prefix(count)))
      rest = rest.dropFirst(count)
    }
    return passes
  }

  /// What encoding some prompts takes.
  private func textDemand<Model>(
    _ prompts: [PreparedPrompt<Model>], of model: Model
  ) throws(GenerationError) -> TextDemand {
    try computing { () throws(ComputeError) in
      try rehearsals.text(prompts.map(\.tokens.rowCounts)) { () throws(ComputeError) in
        let rehearsal = RehearsalDevice(of: device())
        var conditionings: [Model.Text.Conditioning] = []
        let peak = try rehearsal.peakBytes { () throws(ComputeError) in
          conditionings = try model.conditioner.condition(prompts.map(\.tokens), on: rehearsal)
        }
        rehearsal.releaseMemory()
        let kept = try rehearsal.peakBytes {}
        withExtendedLifetime(conditionings) {}
        return TextDemand(peakBytes: peak, keptBytes: kept)
      }
    }
  }
}
