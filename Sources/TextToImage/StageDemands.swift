import Compute
import Diffusion

/// How many pictures a plan is for.
struct GroupShape: Sendable, Hashable {
  /// Pictures that go through the steps together.
  var picturesAtOnce = 1
  /// Requests that they belong to.
  var requests = 1
  /// Whether groups with the same prompts follow.
  var precedesOthers = false
}

/// What the stages of a request need, whatever the budget: found by running the stages themselves
/// on a device that only keeps account.
struct StageDemands: Sendable {
  /// One stage that comes before the pictures are decoded.
  struct Demand: Sendable {
    let stage: WeightStage
    let activationBytes: Int
  }

  /// In the order of the work.
  let demands: [Demand]
  let decoder: WeightStage
  /// What is there while a picture is decoded: finished ones, and what those to come need.
  let pictureBytes: Int
  /// Pictures that go through the steps together.
  let picturesAtOnce: Int
  /// Columns of the weights that rows are multiplied by before the decoder, by the weights' names.
  let inputs: [String: Int]
  /// Multiplications and additions of encoding the prompts, and of one step.
  let textWork, stepWork: RehearsalDevice.Work

  /// Rehearses a run.
  ///
  /// - Parameters:
  ///   - request: what is to be made; of several requests the one with the longest prompts.
  ///   - shape: pictures that go through the steps together.
  ///   - device: where it will run.
  /// - Throws: `ComputeError.outOfMemory` for sizes beyond all memory.
  init<Model>(
    _ request: PreparedRequest<Model>, _ shape: GroupShape, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (model, settings, picturesAtOnce) = (request.model, request.settings, shape.picturesAtOnce)
    let rehearsal = RehearsalDevice(of: device)
    var conditions: [Model.Text.Conditioning] = []
    let textBytes = try rehearsal.peakBytes { () throws(ComputeError) in
      conditions = try model.conditioner.condition(request.tokens, on: rehearsal)
    }
    textWork = rehearsal.work
    rehearsal.releaseMemory()
    var prepared: Model.Network.Prepared?
    // The worst case: no two requests have a prompt in common.
    conditions = conditions.flatMap { Array(repeating: $0, count: shape.requests) }
    let scheduleBytes = try rehearsal.peakBytes { () throws(ComputeError) in
      prepared = try model.denoiser.prepare(
        conditions, times: request.times, guidance: request.distilledGuidance, size: request.size,
        on: rehearsal)
    }
    conditions = []
    let before = rehearsal.work
    let stepBytes = try rehearsal.peakBytes { () throws(ComputeError) in
      guard let prepared else { return }
      let branches = (0..<request.guidance.branchCount).flatMap { branch in
        (0..<picturesAtOnce).map { branch * shape.requests + $0 % shape.requests }
      }
      let session = try model.denoiser.session(prepared, prompts: branches, on: rehearsal)
      let latents = request.latents([Float](repeating: 0, count: request.latentCount))
      _ = try model.denoiser.predict(
        Array(repeating: latents, count: request.guidance.branchCount * picturesAtOnce), session,
        time: 0, on: rehearsal)
    }
    stepWork = rehearsal.work - before
    inputs = rehearsal.inputs
    rehearsal.releaseMemory()
    // Latents before and after a step, and the predictions of all branches, are the line's own; a
    // caller may write down what the sampler keeps, to go on later.
    let latentBytes =
      4 * request.latentCount * picturesAtOnce
      * (4 + 2 * request.guidance.branchCount + 2 * settings.sampler.keptLatents)
    let finishedBytes = 3 * settings.width * settings.height * settings.seeds.count
    if !shape.precedesOthers { prepared = nil }
    pictureBytes = finishedBytes + (try rehearsal.peakBytes {})
    // Prompts that come encoded have no stage of their own.
    let readyBytes = request.textStages.isEmpty ? textBytes : 0
    demands =
      request.textStages.map { Demand(stage: $0, activationBytes: textBytes) }
      + model.denoiser.scheduleStages.map {
        Demand(stage: $0, activationBytes: max(scheduleBytes, readyBytes))
      }
      + [
        Demand(
          stage: model.denoiser.stepStage,
          activationBytes: max(stepBytes, readyBytes) + latentBytes
            + (shape.precedesOthers ? finishedBytes : 0)
            + (try Self.previewBytes(request, picturesAtOnce: picturesAtOnce, on: device)))
      ]
    decoder = model.decoderStage
    self.picturesAtOnce = picturesAtOnce
    // What follows has no prompt.
    withExtendedLifetime(prepared) {}
  }

  /// What previews take while steps go on: their pictures and latents, and a decoder of their own.
  private static func previewBytes<Model>(
    _ request: PreparedRequest<Model>, picturesAtOnce: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Int {
    guard let previews = request.settings.previews else { return 0 }
    let pixels = request.settings.width * request.settings.height
    // The picture as it is made, encoded and shown, and what a prediction takes latents to be.
    let shown = picturesAtOnce * (3 * pixels + 4 * request.latentCount) + 12 * pixels
    guard let codec = previews.decoder?.codec else { return shown }
    return shown + codec.weights.byteCount
      + (try codec.activationBytes(request.size, within: 0, on: device))
  }

  /// How the stages share a budget.
  ///
  /// - Parameters:
  ///   - budget: bytes; nil for no limit.
  ///   - base: bytes that the program takes in any case.
  ///   - keepsEverything: whether weights of earlier stages stay resident.
  ///   - decoderActivations: most bytes that decoding takes within a bound.
  ///   - encoder: what comes before all other stages, where a picture is encoded.
  /// - Returns: the plan, which may not fit.
  /// - Throws: what `decoderActivations` throws.
  func plan(
    budget: Int?, base: Int, keepsEverything: Bool,
    decoderActivations: (_ limit: Int?) throws(ComputeError) -> Int,
    encoder: EncoderDemand? = nil
  ) throws(ComputeError) -> MemoryPlan {
    // A fiftieth for pages around the ones that are used: the kernel maps them in sixteens.
    let left = budget.map { ($0 - base) - ($0 - base) / 50 }
    func planned(_ stage: WeightStage, activations: Int) -> MemoryPlan.Stage {
      let weights = stage.weights
      let all = weights.byteCount
      let room = left.map { max(0, $0 - activations) } ?? all
      let residence =
        keepsEverything
        ? (kept: all, passing: 0)
        : stage.isRepeated
          ? weights.residence(within: room) : weights.residence(keepingAtMost: 0)
      return MemoryPlan.Stage(
        name: stage.name, isRepeated: stage.isRepeated, activationBytes: activations,
        weightBytes: all, keptBytes: residence.kept, passingBytes: residence.passing)
    }
    let decoderLimit =
      keepsEverything
      ? nil
      : left.map { Self.rounded(max(0, $0 - decoder.weights.largestLayerBytes - pictureBytes)) }
    let decoding = pictureBytes + (try decoderActivations(decoderLimit))
    var first: [MemoryPlan.Stage] = []
    var encoderLimit: Int?
    if let encoder {
      encoderLimit =
        keepsEverything ? nil : left.map { Self.rounded(encoder.limit(within: $0)) }
      first = [
        planned(
          encoder.stage, activations: encoder.heldBytes + (try encoder.activations(encoderLimit)))
      ]
    }
    return MemoryPlan(
      budget: budget, baseBytes: base,
      stages: first + demands.map { planned($0.stage, activations: $0.activationBytes) }
        + [planned(decoder, activations: decoding)],
      picturesAtOnce: picturesAtOnce, keepsEverything: keepsEverything, decoderBytes: decoderLimit,
      encoderBytes: encoderLimit)
  }
}

extension StageDemands {
  /// The seven leading bits of a number. What the machine has to spare differs from one moment to
  /// the next: so nearly the same limits are one, whose plan is known.
  fileprivate static func rounded(_ bytes: Int) -> Int {
    let shift = max(0, Int.bitWidth - bytes.leadingZeroBitCount - 7)
    return (bytes >> shift) << shift
  }
}

extension RehearsalDevice.Work {
  fileprivate static func - (left: Self, right: Self) -> Self {
    var work = left
    work.products -= right.products
    work.attention -= right.attention
    return work
  }
}
