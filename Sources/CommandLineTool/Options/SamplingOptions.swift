import ArgumentParser
import TextToImage

/// How pictures come from prompts.
struct SamplingOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("n")], parsing: .unconditional,
    help: ArgumentHelp(
      "What it should not show (needs a guidance scale above 1).", valueName: "text"))
  var negativePrompt: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How to read (word:1.2), (word) and [word]: off takes them as text, a1111 and comfy as "
        + "weights as those programs do.", valueName: "grammar"))
  var promptWeights: PromptWeighting?

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
      "Seed of the noise; the same seed gives the same picture. Negative: a random one. "
        + "(default: 0)", valueName: "number"))
  var seed: Seed?

  @Option(
    name: [.long, .customLong("sampling-method")], parsing: .unconditional,
    help: ArgumentHelp(
      "How each step is made; names of other programs are taken too (default: as the model's "
        + "folder says, else euler).",
      valueName: "name"),
    completion: .list(SamplerName.allCases.map(\.rawValue)))
  var sampler: SamplerName?

  @Option(
    name: [.long, .customLong("scheduler")], parsing: .unconditional,
    help: ArgumentHelp(
      "How noise levels are spread over the steps (default: as the model's folder or its family "
        + "says).", valueName: "name"),
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
    try Self.check(guidanceInterval: guidanceInterval)
    if guidanceSchedule != nil, guidanceScale != nil {
      throw ValidationError("--guidance-scale and --guidance-schedule exclude each other")
    }
  }

  /// Refuses what is no interval.
  static func check(guidanceInterval: NumberList?) throws {
    guard let values = guidanceInterval?.values else { return }
    guard values.count == 2, values[0] <= values[1], values[0] >= 0 else {
      throw ValidationError(
        "--guidance-interval takes two noise levels, the lower one first, such as 0.2,0.9")
    }
  }

  /// A request for one picture.
  ///
  /// - Parameters:
  ///   - prompt: what it should show.
  ///   - base: what holds where no option says otherwise.
  /// - Returns: the request.
  func request(prompt: String, base: GenerationRequest? = nil) -> GenerationRequest {
    var request = base ?? GenerationRequest(prompt: prompt)
    request.prompt = prompt
    request.negativePrompt = negativePrompt ?? request.negativePrompt
    request.promptWeights = promptWeights ?? request.promptWeights
    request.width = width ?? request.width
    request.height = height ?? request.height
    request.guidance = guidance ?? request.guidance
    request.seed = seed?.value ?? request.seed
    request.shift = shift ?? request.shift
    request.maxSequenceLength = maxSequenceLength ?? request.maxSequenceLength
    applyLevels(to: &request)
    applyGuidance(to: &request)
    return request
  }

  /// Steps, levels and schedules replace each other.
  private func applyLevels(to request: inout GenerationRequest) {
    request.sampling.sampler = sampler ?? request.sampling.sampler
    if steps != nil || sigmas != nil || schedule != nil {
      let steps = steps ?? (sigmas == nil ? request.steps : nil)
      (request.steps, request.sigmas) = (steps, sigmas?.values)
      request.sampling.schedule = schedule ?? (sigmas == nil ? request.sampling.schedule : nil)
    }
  }

  /// One scale and a schedule of them replace each other.
  private func applyGuidance(to request: inout GenerationRequest) {
    if guidanceScale != nil || guidanceSchedule != nil {
      request.guidanceScale = guidanceScale ?? request.guidanceScale
      request.sampling.guidanceSchedule = guidanceSchedule?.values
    }
    if let values = guidanceInterval?.values {
      request.sampling.guidanceInterval = values[0]...values[1]
    }
    request.sampling.guidanceRescale = guidanceRescale ?? request.sampling.guidanceRescale
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
