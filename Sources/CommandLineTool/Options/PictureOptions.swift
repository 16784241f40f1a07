import ArgumentParser
import Foundation
import TextToImage

/// What the pictures should be.
struct PictureOptions: ParsableArguments {
  @OptionGroup var prompts: PromptOptions

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Make a picture again: prompt and all settings come from this PNG's metadata (this program's "
        + "or A1111's), other options replace them; files that took part have to be the same.",
      valueName: "picture.png"), completion: .file())
  var from: String?

  @OptionGroup(title: "Size, steps and guidance") var sampling: SamplingOptions

  @Option(
    name: [.long, .customShort("b"), .customLong("batch-count")], parsing: .unconditional,
    help: ArgumentHelp(
      "Pictures to make of each prompt; picture i uses seed + i.", valueName: "count"))
  var numImages: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Start from these latents instead of noise: what --save-latents wrote, or a .latent of "
        + "ComfyUI. They count as noisy as the first level; --sigmas 1e-6 only decodes finished "
        + "ones.", valueName: "file"), completion: .file())
  var latents: String?

  mutating func validate() throws {
    guard from != "" else { throw ValidationError("--from names no file") }
    if from != nil, prompts.prompts != nil {
      throw ValidationError("--from is for one picture: it does not go with --prompts")
    }
    guard prompts.prompt.count <= 1 else {
      throw ValidationError(
        "--prompt is given \(prompts.prompt.count) times: put several prompts into a file for "
          + "--prompts")
    }
    if latents != nil, prompts.prompts != nil {
      throw ValidationError("--latents is for a single --prompt")
    }
  }
}

/// A seed; negative ones on the command line ask for a random one.
struct Seed: ExpressibleByArgument, CustomStringConvertible {
  let value: UInt64
  /// Whether it was drawn.
  private(set) var isRandom = false

  init(value: UInt64) { self.value = value }

  init?(argument: String) {
    if let value = UInt64(argument) {
      self.value = value
    } else if Int64(argument) != nil {
      value = UInt64(UInt32.random(in: 0...UInt32.max))
      isRandom = true
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
