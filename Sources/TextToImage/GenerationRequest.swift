import Checkpoints
import Diffusion

/// What to generate. Whatever is nil takes the model's default.
public struct GenerationRequest: Sendable, Equatable {
  /// What the picture should show.
  public var prompt: String
  /// What it should not show; used only while guidance is active (scale above 1).
  public var negativePrompt = ""
  /// How parentheses in both are read.
  public var promptWeights = PromptWeighting.off
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
  /// How the levels are gone through.
  public var sampling = SamplingChoice()
  /// Most tokens of a prompt, the end token among them; longer prompts are cut.
  public var maxSequenceLength: Int?
  /// Which of the pictures are made, by number from 0; nil for all.
  public var images: [Int]?
  /// Pictures of an earlier run of the same request to go on with, by number.
  public var unfinished: [Int: UnfinishedPicture] = [:]
  /// Small pictures on the way, which come with progress; nil for none.
  public var previews: PreviewChoice?
  /// Initial latents instead of noise, `[images, channels, height / f, width / f]` row-major, where
  /// f is `Pipeline.upscaling`.
  public var latents: [Float]?
  /// Other latents that the start goes towards; not together with `picture`.
  public var latentsBlend: LatentsBlend?
  /// The encoded prompt and negative prompt, instead of their texts, which then only name them.
  public var embeds: PromptEmbeds?
  /// Another prompt to go towards.
  public var embedsBlend: EmbedsBlend?
  /// A picture to start from instead of noise alone; not together with `latents`. Where width or
  /// height are nil, they follow its shape.
  public var picture: StartPicture?

  /// Asks for one picture of a prompt with the model's defaults.
  public init(prompt: String) { self.prompt = prompt }
}

/// How a run goes through noise levels, and how it is guided on the way. Whatever is nil takes the
/// model's default.
public struct SamplingChoice: Sendable, Equatable {
  /// How latents are taken from one level to the next.
  public var sampler: SamplerName?
  /// How the levels are spread; not together with `sigmas` of a request.
  public var schedule: ScheduleName?
  /// Strengths of classifier-free guidance from the first step to the last, spread evenly over the
  /// steps with straight lines between; instead of a guidance scale.
  public var guidanceSchedule: [Double]?
  /// The noise levels in which the unconditional prediction takes part; elsewhere the conditional
  /// one stands alone, in half the time.
  public var guidanceInterval: ClosedRange<Double>?
  /// How far guided predictions are brought back to the spread of the conditional ones, 0 to 1.
  public var guidanceRescale = 0.0
  /// What belongs to the sampler instead of what the model's files say.
  package var levels: SchedulerLevels?

  /// The model's defaults.
  public init() {}
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
  /// How latents are taken from one level to the next; nil where the model's scheduler asks for
  /// what is not supported, so that a request has to say.
  public var sampler: SamplerName? = .euler

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
  /// How parentheses in both are read.
  public let promptWeights: PromptWeighting
  /// Pixels per row.
  public internal(set) var width: Int
  /// Rows.
  public internal(set) var height: Int
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
  /// Steps that were asked for, where the schedule has fewer or more; else nil.
  public let givenSteps: Int?
  /// The levels that were asked for, before their shift; nil where none were.
  public let givenSigmas: [Double]?
  /// How latents are taken from one level to the next.
  public let sampler: SamplerName
  /// What the model's scheduler says of the levels and the times that belong to them.
  package let levels: SchedulerLevels
  /// How the levels are spread; nil where they were given.
  public let schedule: ScheduleName?
  /// Strengths of classifier-free guidance from the first step to the last; nil for one of all.
  public let guidanceSchedule: [Double]?
  /// The noise levels in which the unconditional prediction takes part; nil for all.
  public let guidanceInterval: ClosedRange<Double>?
  /// How far guided predictions are brought back to the spread of the conditional ones, 0 to 1.
  public let guidanceRescale: Double
  /// The encoded prompts that took the place of the texts; nil if none did.
  public let embeds: PromptEmbeds?
  /// Another prompt that is gone towards.
  public let embedsBlend: EmbedsBlend?
  /// What is shown on the way; nothing else depends on it.
  let previews: PreviewChoice?

  /// How often each step asks the model: a sampler may do so more than once, and a time without
  /// guidance counts half where others have it.
  public var evaluations: [Double] {
    let isGuided = usesGuidance
    return (0..<steps).map { step in
      sampler.evaluatedLevels(step: step, of: steps).reduce(0) {
        $0 + (isGuided && guidanceScale(atStep: $1) <= 1 ? 0.5 : 1)
      }
    }
  }

  /// Whether the negative prompt takes part.
  public var usesGuidance: Bool { (0..<steps).contains { guidanceScale(atStep: $0) > 1 } }

  /// The strength of classifier-free guidance at the level that a step begins with, counted from 0;
  /// 1 where it is off.
  public func guidanceScale(atStep step: Int) -> Double {
    if let guidanceInterval, !guidanceInterval.contains(Double(sigmas[step])) { return 1 }
    guard let schedule = guidanceSchedule, let last = schedule.last else { return guidanceScale }
    guard steps > 1, schedule.count > 1 else { return schedule[0] }
    let place = Double(step) / Double(steps - 1) * Double(schedule.count - 1)
    let below = min(Int(place), schedule.count - 1)
    let above = below + 1 < schedule.count ? schedule[below + 1] : last
    return schedule[below] + (place - Double(below)) * (above - schedule[below])
  }
}
