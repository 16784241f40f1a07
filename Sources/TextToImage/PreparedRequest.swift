import Diffusion

/// A request as a model takes it: prompts, tokens, sizes and levels, each made once.
struct PreparedRequest<Model: DiffusionModel>: Sendable {
  let model: Model
  let settings: GenerationSettings
  /// Of the prompts that take part, the unconditional one first, as in the reference.
  let tokens: [Model.Text.Tokens]
  /// Of the latents.
  let size: LatentSize
  let guidance: Guidance
  /// Strength of the distilled guidance; nil for models without one.
  let distilledGuidance: Float?
  /// The levels.
  let run: SampledRun
  /// Every time at which the network will be asked.
  let times: [Float]

  init(_ model: Model, _ settings: GenerationSettings) {
    let prompts =
      settings.usesGuidance ? [settings.negativePrompt, settings.prompt] : [settings.prompt]
    let tokens = prompts.map { text in
      // Settings were checked: whatever cannot be read was refused.
      let prompt = (try? WeightedPrompt(text, settings.promptWeights)) ?? WeightedPrompt(text)
      return model.conditioner.tokens(of: prompt, maximumLength: settings.maxSequenceLength)
    }
    self.init(model, settings, tokens)
  }

  private init(_ model: Model, _ settings: GenerationSettings, _ tokens: [Model.Text.Tokens]) {
    self.model = model
    self.settings = settings
    self.tokens = tokens
    size = LatentSize(
      height: settings.height / model.codec.upscaling, width: settings.width / model.codec.upscaling
    )
    guidance = Guidance(
      scales: (0..<settings.steps).map { Float(settings.guidanceScale(atStep: $0)) },
      rescale: Float(settings.guidanceRescale))
    distilledGuidance = settings.guidance.map { Float($0) }
    let schedule = model.schedule(shift: .fixed(settings.shift), size: size)
      .configured(by: settings.levels)
    run = schedule.run(settings.sigmas)
    times = settings.sigmas.dropLast().map(schedule.modelTime)
  }

  /// The same prompts for pictures of another size.
  func resized(width: Int, height: Int) -> PreparedRequest {
    PreparedRequest(model, settings.resized(width: width, height: height), tokens)
  }

  /// Tokens of prompt and negative prompt that are cut off.
  var droppedTokens: DroppedTokens {
    func counts(_ tokens: Model.Text.Tokens) -> DroppedTokens.Counts {
      DroppedTokens.Counts(sequence: tokens.droppedCount, pooled: tokens.droppedPooledCount)
    }
    return DroppedTokens(
      prompt: tokens.last.map(counts) ?? .none,
      negativePrompt: tokens.count > 1 ? counts(tokens[0]) : .none)
  }

  /// The latents of one picture from their values.
  func latents(_ values: [Float]) -> Latents {
    Latents(values, channels: model.denoiser.geometry.channels, size: size)
  }

  /// Whether a picture is encoded first.
  var startsFromPicture: Bool { settings.strength != nil }

  /// Values of one picture's latents.
  var latentCount: Int { model.denoiser.geometry.channels * size.height * size.width }
}
