import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// Encoded prompts, and ways between two pictures.
struct EmbedsOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Take the encoded prompt and negative prompt from a file of --save-embeds instead of "
        + "encoding texts: text encoders and tokenizers need not be there.", valueName: "file"),
    completion: .file())
  var embeds: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Write the encoded prompt, and the negative one where guidance needs it (safetensors; "
        + "diffusers takes the tensors as arguments).", valueName: "file"), completion: .file())
  var saveEmbeds: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Go from the prompt towards the one of a file of --save-embeds, in a straight line: 0 is the "
        + "prompt, 1 the other.", valueName: "file:t"),
    completion: .file(), transform: BlendedFile.init(argument:))
  var blendEmbeds: BlendedFile?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Go from the seed's noise towards the latents of a file, as --latents takes it, on the arc "
        + "between them: 0 is the seed's, 1 the file's.", valueName: "file:t"),
    completion: .file(), transform: BlendedFile.init(argument:))
  var blendLatents: BlendedFile?

  mutating func validate() throws {
    guard embeds != "" else { throw ValidationError("--embeds names no file") }
    guard saveEmbeds != "" else { throw ValidationError("--save-embeds names no file") }
  }

  /// An option that is given and makes no sense for several prompts; nil if none is.
  var ofOnePrompt: String? {
    let options = [
      ("--save-embeds", saveEmbeds != nil), ("--blend-embeds", blendEmbeds != nil),
      ("--blend-latents", blendLatents != nil),
    ]
    return options.first(where: \.1)?.0
  }

  /// Checks that there is a prompt in one way.
  ///
  /// - Parameter picture: the texts that were named.
  /// - Throws: `ValidationError` for no prompt, or options that contradict each other.
  func check(_ picture: PictureOptions) throws {
    let (prompts, from) = (picture.prompts, picture.from)
    guard !prompts.prompt.isEmpty || prompts.prompts != nil || from != nil || embeds != nil else {
      throw ValidationError(
        "no prompt: name one with --prompt, or a file of prompts with --prompts")
    }
    if embeds != nil { try expectNoTexts(prompts, picture.sampling) }
    if prompts.prompts != nil, let option = ofOnePrompt {
      throw ValidationError("\(option) is for a single --prompt")
    }
  }

  /// Says which named files are not read, since no text is.
  func noteIdle(_ parts: PartOptions, _ console: Console) {
    let readers = ["text-encoder", "t5xxl", "clip-l", "tokenizer", "clip-tokenizer"]
    let idle = parts.named.map(\.option).filter(readers.contains)
    guard !idle.isEmpty else { return }
    console.note(
      "\(idle.map { "--" + $0 }.joined(separator: ", ")): not read, the prompt comes encoded")
  }

  /// Refuses texts beside encoded ones.
  ///
  /// - Parameters:
  ///   - prompts: the texts that were named.
  ///   - sampling: how they would be read.
  /// - Throws: `ValidationError` naming both options.
  func expectNoTexts(_ prompts: PromptOptions, _ sampling: SamplingOptions) throws {
    let texts = [
      ("--prompt", !prompts.prompt.isEmpty), ("--prompts", prompts.prompts != nil),
      ("--negative-prompt", sampling.negativePrompt != nil),
      ("--prompt-weights", sampling.promptWeights != nil),
      ("--max-sequence-length", sampling.maxSequenceLength != nil),
    ]
    guard let (option, _) = texts.first(where: \.1) else { return }
    throw ValidationError(
      "--embeds and \(option) contradict each other: the file holds prompt and negative prompt as "
        + "they were encoded")
  }
}
