import ArgumentParser
import TextToImage

/// How pictures come from prompts.
struct SamplingOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("n")], parsing: .unconditional,
    help: ArgumentHelp(
      "What it should not show (needs a guidance scale above 1).", valueName: "text"))
  var negativePrompt = ""

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How to read (word:1.2), (word) and [word]: off takes them as text, a1111 and comfy as "
        + "weights as those programs do.", valueName: "grammar"))
  var promptWeights = PromptWeighting.off

  @Option(
    name: [.long, .customShort("W")], parsing: .unconditional,
    help: ArgumentHelp("Pixels per row, a multiple of 16.", valueName: "pixels"))
  var width: Int?

  @Option(
    name: [.long, .customShort("H")], parsing: .unconditional,
    help: ArgumentHelp("Rows, a multiple of 16.", valueName: "pixels"))
  var height: Int?

  @Option(
    name: [.long, .customLong("num-inference-steps")], parsing: .unconditional,
    help: ArgumentHelp("Denoising steps.", valueName: "count"))
  var steps: Int?

  @Option(
    name: [.long, .customLong("cfg-scale"), .customLong("cfg"), .customLong("true-cfg-scale")],
    parsing: .unconditional,
    help: ArgumentHelp(
      "How strictly to follow the prompt; 1 and below halve the work and ignore the negative "
        + "prompt.", valueName: "scale"))
  var guidanceScale: Double?

  @Option(
    name: [.long, .customLong("distilled-guidance")], parsing: .unconditional,
    help: ArgumentHelp(
      "Strength of the guidance that FLUX.1-dev was distilled with (3.5 if not given); no other "
        + "model takes it.", valueName: "strength"))
  var guidance: Double?

  @Option(
    name: [.long, .customShort("s")], parsing: .unconditional,
    help: ArgumentHelp(
      "Seed of the noise; the same seed gives the same picture. Negative: a random one.",
      valueName: "number"))
  var seed: Seed = Seed(value: 0)

  @Option(
    name: [.long, .customLong("sampling-method")], parsing: .unconditional,
    help: ArgumentHelp(
      "How each step is made: \(SamplerName.allCases.map(\.rawValue).joined(separator: ", ")); "
        + "other programs' names are taken too (default: the model's).", valueName: "name"),
    completion: .list(SamplerName.allCases.map(\.rawValue)))
  var sampler: SamplerName?

  @Option(
    name: [.long, .customLong("scheduler")], parsing: .unconditional,
    help: ArgumentHelp(
      "How noise levels are spread over the steps: "
        + "\(ScheduleName.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"),
    completion: .list(ScheduleName.allCases.map(\.rawValue)))
  var schedule: ScheduleName?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Guidance scales from the first step to the last instead of one, such as 5,3,1: spread "
        + "evenly, with straight lines between.", valueName: "list"))
  var guidanceSchedule: NumberList?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Guide only at noise levels between two, such as 0.2,0.9; other steps take half the time.",
      valueName: "low,high"))
  var guidanceInterval: NumberList?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Bring the spread of guided predictions back to that of unguided ones: 0 not at all, 1 "
        + "wholly. Against washed-out colors of high guidance scales.", valueName: "share"))
  var guidanceRescale: Double?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Noise levels instead of --steps, such as 1,0.8,0.5,0.2.", valueName: "list"))
  var sigmas: NumberList?

  @Option(
    name: [.long, .customLong("flow-shift")], parsing: .unconditional,
    help: ArgumentHelp("Shift of the noise schedule towards high noise.", valueName: "factor"))
  var shift: Double?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("Most tokens of a prompt; longer ones are cut.", valueName: "tokens"))
  var maxSequenceLength: Int?

  mutating func validate() throws {
    if let guidanceInterval {
      let values = guidanceInterval.values
      guard values.count == 2, values[0] <= values[1], values[0] >= 0 else {
        throw ValidationError(
          "--guidance-interval takes two noise levels, the lower one first, such as 0.2,0.9")
      }
    }
    if guidanceSchedule != nil, guidanceScale != nil {
      throw ValidationError("--guidance-scale and --guidance-schedule exclude each other")
    }
  }

  /// A request for one picture.
  func request(prompt: String) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.negativePrompt = negativePrompt
    request.promptWeights = promptWeights
    request.width = width
    request.height = height
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.guidance = guidance
    request.seed = seed.value
    request.sigmas = sigmas?.values
    request.sampling.sampler = sampler
    request.sampling.schedule = schedule
    request.sampling.guidanceSchedule = guidanceSchedule?.values
    request.sampling.guidanceInterval = guidanceInterval.map { $0.values[0]...$0.values[1] }
    request.sampling.guidanceRescale = guidanceRescale ?? 0
    request.shift = shift
    request.maxSequenceLength = maxSequenceLength
    return request
  }
}

extension PromptWeighting: ExpressibleByArgument {}

extension SamplerName: ExpressibleByArgument {
  /// By any program's name.
  public init?(argument: String) { self.init(named: argument) }

  /// The names here.
  public static var allValueStrings: [String] { allCases.map(\.rawValue) }
}

extension ScheduleName: ExpressibleByArgument {
  /// By any program's name.
  public init?(argument: String) { self.init(named: argument) }

  /// The names here.
  public static var allValueStrings: [String] { allCases.map(\.rawValue) }
}
