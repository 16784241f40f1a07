import ArgumentParser
import Foundation
import TextToImage

/// What the picture should be.
struct PictureOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("p")], parsing: .unconditional,
    help: ArgumentHelp("What the picture should show.", valueName: "text"))
  var prompt: String

  @Option(
    name: [.long, .customShort("n")], parsing: .unconditional,
    help: ArgumentHelp("What it should not show (needs a guidance above 1).", valueName: "text"))
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
    name: [.long, .customLong("cfg-scale")], parsing: .unconditional,
    help: ArgumentHelp(
      "How strictly to follow the prompt; 1 and below halve the work and ignore the negative "
        + "prompt.", valueName: "scale"))
  var guidanceScale: Double?

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

  @Option(
    name: [.long, .customShort("b"), .customLong("batch-count")], parsing: .unconditional,
    help: ArgumentHelp("Pictures to make; image i uses seed + i.", valueName: "count"))
  var numImages: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Start from these latents (safetensors) instead of noise.", valueName: "file"))
  var latents: String?

  /// The request for the library.
  func request(
    count: Int, initial: LatentFile?, _ pipeline: Pipeline
  ) throws(GenerationError) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    request.negativePrompt = negativePrompt
    request.width = width
    request.height = height
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.seed = seed.value
    request.imageCount = count
    request.sigmas = sigmas?.values
    request.shift = shift
    request.maxSequenceLength = maxSequenceLength
    if let initial {
      request.latents = initial.values
      // Latents know their size.
      request.width = width ?? initial.shape[3] * pipeline.upscaling
      request.height = height ?? initial.shape[2] * pipeline.upscaling
    }
    let settings = try pipeline.settings(for: request)
    if let initial {
      let expected = pipeline.latentShape(for: settings)
      guard initial.shape == expected else {
        throw .invalidRequest(
          "--latents has shape \(initial.shape), this request needs \(expected)")
      }
    }
    return request
  }
}

/// A seed; negative ones on the command line ask for a random one.
struct Seed: ExpressibleByArgument, CustomStringConvertible {
  let value: UInt64

  init(value: UInt64) { self.value = value }

  init?(argument: String) {
    if let value = UInt64(argument) {
      self.value = value
    } else if Int64(argument) != nil {
      value = UInt64(UInt32.random(in: 0...UInt32.max))
    } else {
      return nil
    }
  }

  var description: String { "\(value)" }
}

/// Numbers separated by commas or blanks.
struct NumberList: ExpressibleByArgument {
  let values: [Double]

  init?(argument: String) {
    var values: [Double] = []
    for part in argument.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
      guard let value = Double(part), value.isFinite else { return nil }
      values.append(value)
    }
    guard !values.isEmpty else { return nil }
    self.values = values
  }
}
