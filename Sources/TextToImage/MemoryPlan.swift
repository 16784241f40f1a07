import AuraFlowFamily
import Networks
import Tensors

/// What a generation holds in memory, stage by stage, before it begins.
public struct MemoryPlan: Sendable, Equatable {
  /// One part of the work; stages follow each other, their memory does not add up.
  public struct Stage: Sendable, Equatable {
    /// Which part.
    public enum Name: String, Sendable {
      /// Prompts to embeddings.
      case textEncoder = "text encoder"
      /// What depends on time alone, for all steps.
      case schedule
      /// Noise to latents.
      case steps
      /// Latents to pixels.
      case decoder
    }

    /// Which part.
    public let name: Name
    /// Activations, and what products and attention need beside them.
    public let activationBytes: Int
    /// Weights that the stage reads.
    public let weightBytes: Int
    /// Those of them that stay in memory.
    public let keptBytes: Int
    /// The largest layer that is in memory only while it is used; 0 if all are kept.
    public let passingBytes: Int

    /// What the stage adds to the program itself.
    public var byteCount: Int { activationBytes + keptBytes + passingBytes }
    /// Weights that are read anew at each use.
    public var streamedBytes: Int { weightBytes - keptBytes }
  }

  /// The limit; nil for none.
  public let budget: Int?
  /// The program with tokenizer, tables and small vectors.
  public let baseBytes: Int
  /// In the order of the work.
  public let stages: [Stage]
  /// Pictures that go through the steps together: one, or all of the request if weights are read again
  /// at each step.
  public let picturesAtOnce: Int
  /// Whether weights of earlier stages stay in memory.
  public let keepsEverything: Bool
  /// What the image decoder's activations may take; nil for as much as they like.
  let decoderBytes: Int?

  /// Expected peak of resident memory.
  public var peakBytes: Int {
    let parts = stages.map(\.byteCount)
    guard keepsEverything else { return baseBytes + (parts.max() ?? 0) }
    let kept = stages.reduce(0) { $0 + $1.keptBytes }
    return baseBytes + kept + (stages.map(\.activationBytes).max() ?? 0)
  }

  /// Whether the budget holds.
  public var fits: Bool { budget.map { peakBytes <= $0 } ?? true }

  /// A stage by its name.
  public subscript(name: Stage.Name) -> Stage? { stages.first { $0.name == name } }

  /// Expected resident memory during a stage.
  public func peakBytes(of stage: Stage) -> Int {
    guard keepsEverything else { return baseBytes + stage.byteCount }
    // What earlier stages kept is still there.
    let earlier = stages.prefix { $0.name != stage.name }.reduce(0) { $0 + $1.keptBytes }
    return baseBytes + earlier + stage.byteCount
  }
}

extension Pipeline {
  /// Plans the memory of a request.
  ///
  /// - Parameters:
  ///   - settings: what is to be made.
  ///   - limit: bytes that the process may hold; nil for no limit.
  /// - Returns: the plan; it `fits` if the budget can be held.
  public func memoryPlan(for settings: GenerationSettings, limit: Int?) -> MemoryPlan {
    let base = baseBytes + Self.slackBytes
    let demand = StageDemand(self, settings, picturesAtOnce: 1)
    let everything = demand.plan(budget: limit, base: base, keepsEverything: true)
    if everything.fits { return everything }
    let alone = demand.plan(budget: limit, base: base, keepsEverything: false)
    let count = settings.seeds.count
    guard count > 1, let streamed = alone[.steps]?.streamedBytes, streamed > 0 || !alone.fits else {
      return alone
    }
    // Weights that are read anew at each step are read once for all pictures together.
    let together = StageDemand(self, settings, picturesAtOnce: count)
      .plan(budget: limit, base: base, keepsEverything: false)
    let isLess = together[.steps].map { $0.streamedBytes / count < streamed } ?? false
    return together.fits && isLess ? together : alone
  }

  /// How long a step of one picture will take, judged by a short trial of one layer.
  ///
  /// - Throws: `GenerationError` if the weights cannot be read or memory runs out.
  public func expectedSecondsPerStep(
    for settings: GenerationSettings
  ) throws(GenerationError) -> Double {
    let shape = latentShape(for: settings)
    do throws(ComputeError) {
      return try transformer.expectedSecondsPerStep(
        contextTokens: contextTokens(of: settings, pictures: 1), height: shape[2], width: shape[3],
        on: ThreadPool(threadCount: threadCount, activations: activations))
    } catch {
      throw GenerationError(error)
    }
  }

  /// Tokens of each prompt that takes part.
  fileprivate func promptTokens(of settings: GenerationSettings) -> [Int] {
    let prompts =
      settings.usesGuidance ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    return prompts.map {
      tokenizer.encodeCounting($0, maximumLength: settings.maxSequenceLength).ids.count
    }
  }

  /// Tokens of each branch's context: registers, text, and one for all padding.
  fileprivate func contextTokens(of settings: GenerationSettings, pictures: Int) -> [Int] {
    promptTokens(of: settings).flatMap { tokens in
      Array(
        repeating: transformer.configuration.registerCount + tokens
          + min(1, settings.maxSequenceLength - tokens), count: pictures)
    }
  }

  /// Memory that no stage accounts for: stacks, allocator, pages at the edges of mapped weights.
  private static let slackBytes = 8 << 20
}

/// What the stages of a request need, whatever the budget.
private struct StageDemand {
  let pipeline: Pipeline
  let latentHeight: Int
  let latentWidth: Int
  let textBytes: Int
  let scheduleBytes: Int
  let stepBytes: Int
  /// What is there while a picture is decoded: finished ones, and what those to come need.
  let pictureBytes: Int
  let picturesAtOnce: Int

  init(_ pipeline: Pipeline, _ settings: GenerationSettings, picturesAtOnce: Int) {
    self.pipeline = pipeline
    self.picturesAtOnce = picturesAtOnce
    let pool = ThreadPool(threadCount: pipeline.threadCount, activations: pipeline.activations)
    let transformer = pipeline.transformer
    let shape = pipeline.latentShape(for: settings)
    (latentHeight, latentWidth) = (shape[2], shape[3])
    textBytes = pipeline.textEncoder.activationBytes(
      tokens: pipeline.promptTokens(of: settings), on: pool)
    scheduleBytes = transformer.scheduleBytes(steps: settings.steps, on: pool)
    let contexts = pipeline.contextTokens(of: settings, pictures: picturesAtOnce)
    // Contexts stay beside the residual stream, which begins with them.
    let contextBytes = 4 * contexts.reduce(0, +) * transformer.configuration.hiddenSize
    let finishedBytes = 3 * settings.width * settings.height * settings.seeds.count
    let isRepeated = picturesAtOnce < settings.seeds.count
    pictureBytes =
      finishedBytes
      + (isRepeated ? contextBytes + transformer.modulationBytes(steps: settings.steps) : 0)
    stepBytes =
      contextBytes + (isRepeated ? finishedBytes : 0)
      + transformer.activationBytes(
        contextTokens: contexts,
        height: shape[2], width: shape[3], steps: settings.steps, on: pool)
  }

  func plan(budget: Int?, base: Int, keepsEverything: Bool) -> MemoryPlan {
    let transformer = pipeline.transformer
    // A fiftieth for pages around the ones that are used: the kernel maps them in sixteens.
    let left = budget.map { ($0 - base) - ($0 - base) / 50 }
    func stage(
      _ name: MemoryPlan.Stage.Name, _ weights: WeightStream, activations: Int, keeps: Bool
    ) -> MemoryPlan.Stage {
      let all = weights.byteCount
      let room = left.map { max(0, $0 - activations) } ?? all
      let residence =
        keepsEverything
        ? (kept: all, passing: 0)
        : keeps ? weights.residence(within: room) : weights.residence(keepingAtMost: 0)
      return MemoryPlan.Stage(
        name: name, activationBytes: activations, weightBytes: all, keptBytes: residence.kept,
        passingBytes: residence.passing)
    }
    let decoder = pipeline.decoder
    let decoderWeights = decoder.weights
    let decoderLimit =
      keepsEverything
      ? nil : left.map { max(0, $0 - decoderWeights.largestLayerBytes - pictureBytes) }
    return MemoryPlan(
      budget: budget, baseBytes: base,
      stages: [
        stage(
          .textEncoder, pipeline.textEncoder.layerWeights, activations: textBytes, keeps: false),
        stage(
          .schedule, transformer.scheduleWeights, activations: scheduleBytes, keeps: false),
        stage(.steps, transformer.stepWeights, activations: stepBytes, keeps: true),
        stage(
          .decoder, decoderWeights,
          activations: pictureBytes
            + decoder.activationBytes(
              height: latentHeight, width: latentWidth, memory: decoderLimit),
          keeps: false),
      ], picturesAtOnce: picturesAtOnce, keepsEverything: keepsEverything,
      decoderBytes: decoderLimit)
  }
}
