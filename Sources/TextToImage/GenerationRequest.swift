import Checkpoints

/// What to generate. Whatever is nil takes the model's default.
public struct GenerationRequest: Sendable, Equatable {
  /// What the picture should show.
  public var prompt: String
  /// What it should not show; used only while guidance is active (scale above 1).
  public var negativePrompt = ""
  /// Pixels per row, a multiple of `Pipeline.sizeMultiple`.
  public var width: Int?
  /// Rows, a multiple of `Pipeline.sizeMultiple`.
  public var height: Int?
  /// Denoising steps; not together with `sigmas`.
  public var steps: Int?
  /// Strength of classifier-free guidance; 1 and below switch it off.
  public var guidanceScale: Double?
  /// Strength of the distilled guidance, for models whose network takes it as an input; others
  /// refuse it.
  public var guidance: Double?
  /// Seed of the first image's noise; image i uses `seed + i`.
  public var seed: UInt64 = 0
  /// Pictures to make from the prompt.
  public var imageCount = 1
  /// Noise levels from 1 towards 0, shifted once, instead of a number of steps.
  public var sigmas: [Double]?
  /// Shift of the noise schedule.
  public var shift: Double?
  /// Most tokens of a prompt, the end token among them; longer prompts are cut.
  public var maxSequenceLength: Int?
  /// Initial latents instead of noise, `[images, channels, height / f, width / f]` row-major, where
  /// f is `Pipeline.upscaling`.
  public var latents: [Float]?
  /// A picture to start from instead of noise alone; not together with `latents`. Where width or
  /// height are nil, they follow its shape.
  public var picture: StartPicture?

  /// Asks for one picture of a prompt with the model's defaults.
  public init(prompt: String) { self.prompt = prompt }
}

/// What a model suggests where a request says nothing.
public struct GenerationDefaults: Sendable, Equatable {
  /// Pixels per row.
  public var width: Int
  /// Rows.
  public var height: Int
  /// Denoising steps.
  public var steps: Int
  /// Strength of classifier-free guidance.
  public var guidanceScale: Double
  /// Strength of the distilled guidance; nil for models without one.
  public var guidance: Double?
  /// Shift of the noise schedule; nil where it depends on the picture's size.
  public var shift: Double?
  /// Most tokens of a prompt.
  public var maxSequenceLength: Int

  init(_ defaults: SamplingDefaults) {
    width = defaults.width
    height = defaults.height
    steps = defaults.steps
    guidanceScale = defaults.guidanceScale
    guidance = defaults.guidance
    shift = defaults.shift.fixed
    maxSequenceLength = defaults.maxSequenceLength
  }
}

/// A request with every default filled in and checked: what was really done.
public struct GenerationSettings: Sendable, Equatable {
  /// The prompt, as given.
  public let prompt: String
  /// The negative prompt, as given.
  public let negativePrompt: String
  /// Pixels per row.
  public let width: Int
  /// Rows.
  public let height: Int
  /// Denoising steps.
  public let steps: Int
  /// Strength of classifier-free guidance.
  public let guidanceScale: Double
  /// Strength of the distilled guidance; nil for models without one.
  public let guidance: Double?
  /// Seed of each image.
  public let seeds: [UInt64]
  /// Shift of the noise schedule.
  public let shift: Double
  /// Most tokens of a prompt.
  public let maxSequenceLength: Int
  /// Noise levels, one more than steps, ending in 0.
  public let sigmas: [Float]
  /// How much of a picture to start from may change; nil where there is none. Steps and noise
  /// levels are those that are left.
  public let strength: Double?

  /// Whether the negative prompt takes part.
  public var usesGuidance: Bool { guidanceScale > 1 }
}
