import ArgumentParser
import Foundation
import StrictJSON
import TextToImage

/// Says what a generation will need, without making it.
struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract:
      "Show how much memory a picture needs, what is read again and again, and how long a step takes.",
    discussion: """
      Without --memory it shows what this machine has to spare now, then 2, 4, 6,
      8 and 16 GiB. Seconds per step come from a trial of one layer on this
      machine; --no-trial leaves them out.

        auraflow plan aura_flow_0.3-Q4_K_S.gguf --text-encoder t5.gguf --vae vae.safetensors
        auraflow plan model.gguf -W 768 -H 768 --memory 3GiB --json
        auraflow plan model.gguf --init-image photo.png --strength 0.5
      """)

  @Argument(help: "The model, as --model takes it.", completion: .file())
  var path: String?

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions

  @Option(
    name: [.long, .customShort("p")], parsing: .unconditional,
    help: ArgumentHelp("The prompt; its length counts a little.", valueName: "text"))
  var prompt = Self.usualPrompt

  private static let usualPrompt =
    "A photograph of a lighthouse on a cliff at dawn, waves breaking on the rocks below"

  @Option(
    name: [.long, .customShort("n")], parsing: .unconditional,
    help: ArgumentHelp("The negative prompt.", valueName: "text"))
  var negativePrompt = ""

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "An encoded prompt, as generate --embeds takes it: text encoders are left out.",
      valueName: "file"), completion: .file())
  var embeds: String?

  @Option(
    name: .long, help: ArgumentHelp("Most tokens of a prompt that count.", valueName: "count"))
  var maxSequenceLength: Int?

  @Option(
    name: [.long, .customShort("W")], help: ArgumentHelp("Pixels per row.", valueName: "pixels"))
  var width: Int?

  @Option(name: [.long, .customShort("H")], help: ArgumentHelp("Rows.", valueName: "pixels"))
  var height: Int?

  @Option(
    name: [.long, .customLong("num-inference-steps")],
    help: ArgumentHelp("Denoising steps.", valueName: "count"))
  var steps: Int?

  @Option(
    name: [.long, .customLong("cfg-scale"), .customLong("cfg"), .customLong("true-cfg-scale")],
    help: ArgumentHelp("Guidance; 1 and below halve the work.", valueName: "scale"))
  var guidanceScale: Double?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Noise levels between which there is guidance; other steps take half the time.",
      valueName: "low,high"))
  var guidanceInterval: NumberList?

  @Option(
    name: [.long, .customLong("sampling-method")],
    help: ArgumentHelp(
      "How each step is made (default: as the model's folder says, else euler).", valueName: "name"),
    completion: .list(SamplerName.allCases.map(\.rawValue)))
  var sampler: SamplerName?

  @Option(
    name: [.long, .customLong("distilled-guidance")],
    help: ArgumentHelp("Guidance that FLUX.1-dev was distilled with.", valueName: "strength"))
  var guidance: Double?

  @Option(
    name: [.long, .customShort("b"), .customLong("batch-count")],
    help: ArgumentHelp("Pictures to make of the prompt.", valueName: "count"))
  var numImages = 1

  @OptionGroup(title: "Picture to start from") var input: PictureInputOptions

  @Flag(inversion: .prefixedNo, help: "Measure the speed of one layer.")
  var trial = true

  @OptionGroup var common: ReportOptions

  mutating func validate() throws {
    try input.expectComplete()
    try SamplingOptions.check(guidanceInterval: guidanceInterval)
    guard embeds != "" else { throw ValidationError("--embeds names no file") }
    let hasTexts =
      prompt != Self.usualPrompt || !negativePrompt.isEmpty || maxSequenceLength != nil
    if embeds != nil, hasTexts {
      throw ValidationError(
        "--embeds contradicts --prompt, --negative-prompt and --max-sequence-length: the file has "
          + "them")
    }
  }

  func run() async throws {
    try await reportingFailure {
      var request = request
      request.picture = try input.start(nil)
      request.embeds = try embeds.map { try PromptEmbeds(path: $0) }
      request.maxSequenceLength = request.embeds?.tokenCount ?? request.maxSequenceLength
      let (pipeline, name) = try model.open(
        path: path, encoder: input.encoder.vaeEncoder, memory: memory, precision: precision,
        threads: common.threads, readsTexts: embeds == nil)
      if request.picture != nil { try pipeline.expectEncoder() }
      let settings = try pipeline.settings(for: request)
      let report = PlanReport(
        model: name, settings: settings,
        plans: budgets(pipeline).map { pipeline.memoryPlan(for: settings, limit: $0) },
        leastBytes: pipeline.leastMemory(for: settings),
        secondsPerEvaluation: trial ? try pipeline.expectedSecondsPerStep(for: settings) : nil)
      Console.writeOutput((common.json ? report.json.text(indentation: 2) : report.text) + "\n")
    }
  }

  private var request: GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.width = width
    request.height = height
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.guidance = guidance
    request.sampling.sampler = sampler
    request.sampling.guidanceInterval = guidanceInterval.map { $0.values[0]...$0.values[1] }
    request.imageCount = numImages
    request.negativePrompt = negativePrompt
    request.maxSequenceLength = maxSequenceLength
    return request
  }

  /// The budget that was named, or those that people have; nil stands for no limit.
  private func budgets(_ pipeline: Pipeline) -> [Int?] {
    switch memory.memory {
    case .auto: [MemoryBudget.auto.limit] + [2, 4, 6, 8, 16].map { $0 << 30 }
    case .max: [nil]
    case .bytes(let count): [count.bytes]
    }
  }
}
