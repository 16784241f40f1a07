import Diffusion

extension Pipeline {
  /// Longest prompt, in bytes of UTF-8.
  public static let maximumPromptLength = 64 << 10
  /// Most pixels of one picture.
  public static let maximumPixels = 16 << 20

  /// Fills in the model's defaults and checks the request, before any work is done.
  ///
  /// - Throws: `GenerationError.invalidRequest` naming the field, its value and what would do.
  public func settings(
    for request: GenerationRequest
  ) throws(GenerationError) -> GenerationSettings {
    let sides = sides(of: request)
    let width = try checkedSide(sides.width, "width")
    let height = try checkedSide(sides.height, "height")
    guard width * height <= Self.maximumPixels else {
      throw .invalidRequest("\(width)x\(height) is more than \(Self.maximumPixels) pixels")
    }
    try checkPrompts(request)
    if let picture = request.picture { try check(picture, width, height) }
    try check(request.imageCount, "number of images", in: 1...256)
    let length = request.maxSequenceLength ?? defaults.maxSequenceLength
    try check(length, "max sequence length", in: 1...4096)
    let scale = request.guidanceScale ?? defaults.guidanceScale
    guard scale.isFinite, abs(scale) <= 1000 else {
      throw .invalidRequest("guidance scale \(scale) is outside of -1000...1000")
    }
    if let shift = request.shift, !shift.isFinite || !(1e-3...1e3).contains(shift) {
      throw .invalidRequest("shift \(shift) is outside of 0.001...1000")
    }
    let plain = model.schedule(
      shift: request.shift.map { .fixed($0) } ?? shift,
      size: LatentSize(height: height / upscaling, width: width / upscaling))
    let (sampler, spread) = try steps(of: request.sampling, plain.mixture)
    let schedule = plain.configured(by: spread)
    guard (1e-3...1e3).contains(schedule.shift) else {
      throw .invalidRequest(
        "the model's scheduler makes a shift of \(schedule.shift) of \(width)x\(height), which is "
          + "outside of 0.001...1000 (base_shift, max_shift and their image_seq_len): name one with "
          + "--shift")
    }
    try checkGuidance(request.sampling)
    let sigmas = try levels(of: request, all: try sigmas(of: request, schedule))
    let settings = GenerationSettings(
      prompt: request.prompt, negativePrompt: request.negativePrompt,
      promptWeights: request.promptWeights, width: width, height: height,
      steps: sigmas.count - 1, guidanceScale: scale, guidance: try guidance(of: request),
      seeds: (0..<request.imageCount).map { request.seed &+ UInt64($0) }, shift: schedule.shift,
      maxSequenceLength: length, sigmas: sigmas, strength: request.picture?.strength,
      givenSteps: request.sigmas == nil && request.steps ?? defaults.steps != sigmas.count - 1
        ? request.steps ?? defaults.steps : nil,
      givenSigmas: request.sigmas, sampler: sampler, levels: spread,
      schedule: request.sigmas == nil ? request.sampling.schedule ?? .default : nil,
      guidanceSchedule: request.sampling.guidanceSchedule,
      guidanceInterval: request.sampling.guidanceInterval,
      guidanceRescale: request.sampling.guidanceRescale, embeds: request.embeds,
      embedsBlend: request.embedsBlend, previews: request.previews)
    try checkEmbeds(request, usesGuidance: settings.usesGuidance, length: length)
    try checkLatents(request.latents, settings)
    try checkLatentsBlend(request, settings)
    try checkImages(request, settings)
    return settings
  }

  /// Checks which pictures are made, and what is known of them from an earlier run.
  private func checkImages(
    _ request: GenerationRequest, _ settings: GenerationSettings
  ) throws(GenerationError) {
    if let images = request.images {
      guard !images.isEmpty, Set(images).count == images.count,
        images.allSatisfy(settings.seeds.indices.contains)
      else {
        throw .invalidRequest(
          "pictures to make \(images): expected different numbers in "
            + "0..<\(settings.seeds.count), at least one")
      }
    }
    let count = latentShape(for: settings).dropFirst().reduce(1, *)
    for (image, picture) in request.unfinished {
      let histories = settings.sampler.historyCount(after: picture.step)
      guard settings.seeds.indices.contains(image), (1...settings.steps).contains(picture.step),
        picture.history.count == histories,
        ([picture.latents] + picture.history).allSatisfy({
          $0.count == count && $0.allSatisfy(\.isFinite)
        }), (0...picture.step).contains(picture.noiseCount)
      else {
        throw .invalidRequest(
          "unfinished picture \(image) at step \(picture.step): expected a step in "
            + "1...\(settings.steps), \(1 + histories) times \(count) finite values, and no more "
            + "drawings of noise than steps")
      }
    }
  }

  /// Refuses what memory does not suffice for.
  func expectFit<Model>(
    _ plan: MemoryPlan, _ request: PreparedRequest<Model>
  ) throws(GenerationError) {
    guard !plan.fits else { return }
    throw .overBudget(MemoryAdvice(self, request, plan).message(request.settings, plan))
  }

  /// Checks that a request can be met, before any work is done for it or others.
  ///
  /// - Returns: the request with every default filled in.
  /// - Throws: `GenerationError.invalidRequest`, or `overBudget` saying what would fit.
  public func checkedSettings(
    for request: GenerationRequest
  ) throws(GenerationError) -> GenerationSettings {
    let settings = try settings(for: request)
    func check<Model: DiffusionModel>(_ model: Model) throws(GenerationError) {
      let request = PreparedRequest(model, settings)
      try expectFit(memoryPlan(for: request, limit: memory.limit), request)
    }
    try check(model)
    return settings
  }

  /// The shape of the latents of a request.
  public func latentShape(for settings: GenerationSettings) -> [Int] {
    [
      settings.seeds.count, model.denoiser.geometry.channels, settings.height / upscaling,
      settings.width / upscaling,
    ]
  }

  /// The sampler and what belongs to it: the request's, else the model's.
  private func steps(
    of sampling: SamplingChoice, _ mixture: NoiseMixture
  ) throws(GenerationError) -> (sampler: SamplerName, levels: SchedulerLevels) {
    guard let given = sampling.sampler else {
      guard let fault = scheduler.fault else { return (scheduler.sampler, scheduler.levels) }
      throw .invalidRequest("\(fault): name a sampler to use instead, such as --sampler euler")
    }
    guard given.fits(mixture) else {
      throw .invalidRequest(
        "sampler \(given.rawValue) is for models that predict noise; this one takes "
          + SamplerName.allCases.filter { $0.fits(mixture) }.map(\.rawValue)
          .joined(separator: ", "))
    }
    return (given, sampling.levels ?? scheduler.levels(for: given))
  }

  private func checkedSide(_ side: Int, _ name: String) throws(GenerationError) -> Int {
    guard side <= 1 << 20 else { throw .invalidRequest("\(name) \(side) is too large") }
    guard side > 0, side % sizeMultiple == 0 else {
      let below = max(1, side / sizeMultiple) * sizeMultiple
      let nearest =
        side > below && side - below > sizeMultiple / 2 ? below + sizeMultiple : below
      throw .invalidRequest(
        "\(name) \(side) is not a positive multiple of \(sizeMultiple); the nearest is "
          + "\(min(nearest, largestSide))")
    }
    guard side <= largestSide else {
      throw .invalidRequest(
        "\(name) \(side) is more than the \(largestSide) pixels that this model has positions for")
    }
    return side
  }

  private func checkPrompts(_ request: GenerationRequest) throws(GenerationError) {
    for (name, text) in [
      ("prompt", request.prompt), ("negative prompt", request.negativePrompt),
    ] where text.utf8.count > Self.maximumPromptLength {
      throw .invalidRequest(
        "the \(name) has \(text.utf8.count) bytes, at most \(Self.maximumPromptLength) are allowed")
    }
    // Those of embeds are only names.
    guard request.embeds == nil else { return }
    for (name, text) in [
      ("prompt", request.prompt), ("negative prompt", request.negativePrompt),
    ] {
      do throws(PromptWeightError) {
        _ = try WeightedPrompt(text, request.promptWeights)
      } catch {
        throw .invalidRequest(
          "prompt weights of the \(name): \(error.fault) (grammar "
            + "\(request.promptWeights.rawValue))")
      }
    }
  }

  private func check(
    _ value: Int, _ name: String, in range: ClosedRange<Int>
  ) throws(GenerationError) {
    guard range.contains(value) else {
      throw .invalidRequest("\(name) \(value) is outside of \(range)")
    }
  }

  private func guidance(of request: GenerationRequest) throws(GenerationError) -> Double? {
    guard let guidance = request.guidance else { return defaults.guidance }
    guard model.denoiser.isGuidanceDistilled else {
      throw .invalidRequest(
        "guidance \(guidance) has no meaning for this model, whose network does not take it as an "
          + "input: the strength of classifier-free guidance is the guidance scale "
          + "(--guidance-scale)")
    }
    guard guidance.isFinite, (0...1000).contains(guidance) else {
      throw .invalidRequest("guidance \(guidance) is outside of 0...1000")
    }
    return guidance
  }

  /// Refuses pictures that would be enlarged beyond all memory before they are cut.
  private func check(
    _ picture: StartPicture, _ width: Int, _ height: Int
  ) throws(GenerationError) {
    for image in [picture.image, picture.mask].compactMap(\.self) where picture.resize == .fill {
      let isWider = image.width * height > width * image.height
      let scaled =
        isWider
        ? image.width * height / max(1, image.height) * height
        : width * (image.height * width / max(1, image.width))
      guard scaled <= PNGPicture.maximumPixels else {
        throw .invalidRequest(
          "a picture of \(image.width)x\(image.height) that fills \(width)x\(height) would have "
            + "\(scaled) pixels before it is cut: resize it by stretch or fit")
      }
    }
  }

  private func checkGuidance(_ sampling: SamplingChoice) throws(GenerationError) {
    if let scales = sampling.guidanceSchedule {
      guard (1...10_000).contains(scales.count),
        scales.allSatisfy({ $0.isFinite && abs($0) <= 1000 })
      else {
        throw .invalidRequest("a guidance schedule has 1 to 10000 numbers in -1000...1000")
      }
    }
    guard sampling.guidanceRescale.isFinite, (0...1).contains(sampling.guidanceRescale) else {
      throw .invalidRequest("guidance rescale \(sampling.guidanceRescale) is outside of 0...1")
    }
  }

  private func sigmas(
    of request: GenerationRequest, _ schedule: any NoiseSchedule
  ) throws(GenerationError) -> [Float] {
    guard let custom = request.sigmas else {
      let steps = request.steps ?? defaults.steps
      try check(steps, "number of steps", in: 1...10_000)
      return request.sampling.schedule?.sigmas(steps: steps, schedule.table)
        ?? schedule.sigmas(steps: steps)
    }
    if let name = request.sampling.schedule {
      throw .invalidRequest(
        "sigmas and schedule \(name.rawValue) contradict each other: give one")
    }
    guard !custom.isEmpty, custom.count <= 10_000, custom.allSatisfy({ $0 >= 0 && $0 <= 1 }) else {
      throw .invalidRequest("sigmas must be 1 to 10000 numbers in 0...1")
    }
    guard request.steps == nil || request.steps == custom.count else {
      throw .invalidRequest(
        "\(custom.count) sigmas and \(request.steps ?? 0) steps contradict each other: give one")
    }
    return schedule.sigmas(custom: custom)
  }

  private func checkLatents(
    _ latents: [Float]?, _ settings: GenerationSettings
  ) throws(GenerationError) {
    guard let latents else { return }
    let shape = latentShape(for: settings)
    guard latents.count == shape.reduce(1, *) else {
      throw .invalidRequest(
        "the initial latents hold \(latents.count) values, expected shape \(shape)")
    }
    guard latents.allSatisfy(\.isFinite) else {
      throw .invalidRequest("the initial latents hold NaN or infinite values")
    }
  }
}
