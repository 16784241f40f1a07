import Diffusion

/// A prompt as a model takes it.
struct PreparedPrompt<Model: DiffusionModel>: Sendable {
  let key: PromptIdentity
  let tokens: PromptSource<Model.Text.Tokens>
}

/// What decides about what a prompt becomes: two prompts that agree in it are encoded once.
struct PromptIdentity: Hashable, Sendable {
  let text: String
  let weights: PromptWeighting
  let maximumLength: Int
  /// Which text of encoded prompts it is; false where there are none.
  let isNegative: Bool
  let embeds: PromptEmbeds?
  let blend: EmbedsBlend?

  init(_ text: String, isNegative: Bool, of settings: GenerationSettings) {
    self.text = text
    weights = settings.promptWeights
    maximumLength = settings.maxSequenceLength
    embeds = settings.embeds
    blend = settings.embedsBlend
    self.isNegative = isNegative && (embeds != nil || blend != nil)
  }

  /// Of what is short.
  func hash(into hasher: inout Hasher) {
    hasher.combine(text)
    hasher.combine(maximumLength)
    hasher.combine(isNegative)
    hasher.combine(blend?.share)
  }
}

/// A request as a model takes it: prompts, tokens, sizes and levels, each made once.
struct PreparedRequest<Model: DiffusionModel>: Sendable {
  let model: Model
  let settings: GenerationSettings
  /// Those that take part, the unconditional one first, as in the reference.
  let prompts: [PreparedPrompt<Model>]
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
    self.init(model, settings, Self.prompts(model, settings))
  }

  private init(
    _ model: Model, _ settings: GenerationSettings, _ prompts: [PreparedPrompt<Model>]
  ) {
    self.model = model
    self.settings = settings
    self.prompts = prompts
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
    PreparedRequest(model, settings.resized(width: width, height: height), prompts)
  }

  /// Of the prompts that take part.
  var tokens: [PromptSource<Model.Text.Tokens>] { prompts.map(\.tokens) }

  /// Tokens of prompt and negative prompt that are cut off.
  var droppedTokens: DroppedTokens {
    func counts(_ tokens: PromptSource<Model.Text.Tokens>) -> DroppedTokens.Counts {
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
