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

  /// A request for one picture.
  func request(prompt: String) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.negativePrompt = negativePrompt
    request.width = width
    request.height = height
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.guidance = guidance
    request.seed = seed.value
    request.sigmas = sigmas?.values
    request.shift = shift
    request.maxSequenceLength = maxSequenceLength
    return request
  }
}
