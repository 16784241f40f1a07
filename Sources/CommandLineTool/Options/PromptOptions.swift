import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// The prompts of a run, in the same forms for every verb.
struct PromptOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("p")], parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "What the picture should show; - reads it from standard input.", valueName: "text"))
  var prompt: [String] = []

  @Option(
    name: [.long, .customShort("f"), .customLong("prompt-file")], parsing: .unconditional,
    help: ArgumentHelp(
      "A file of prompts, one per line, as text or JSON; - is standard input.", valueName: "file"))
  var prompts: String?

  /// What the help of every verb says about files of prompts.
  static let fileHelp = """
    A file of prompts is UTF-8 with one per line. Empty lines and those that begin
    with # do not count. A line may be a JSON object with settings of its own:
      {"prompt": "a lighthouse", "width": 512, "height": 768, "steps": 30}
    with negativePrompt, promptWeights, guidanceScale, guidance, shift, sampler,
    schedule, maxSequenceLength, seed, numImages, output, and initImage, mask and
    strength for a picture to start from; also spelled like negative_prompt.
    """

  mutating func validate() throws {
    if !prompt.isEmpty, prompts != nil {
      throw ValidationError("--prompt and --prompts contradict each other: name one of them")
    }
    guard prompts != "" else { throw ValidationError("--prompts names no file") }
    guard prompt.count(where: { $0 == "-" }) <= 1 else {
      throw ValidationError("--prompt -: standard input holds one prompt only")
    }
  }

  /// What the prompts come from, for messages and metadata.
  var source: String {
    switch prompts {
    case "-": StandardStreams.inputName
    case let path?: path
    case nil: prompt.isEmpty ? "built-in prompts" : "--prompt"
    }
  }

  /// The file that is read, if there is one.
  var file: String? { prompts == "-" ? nil : prompts }

  /// The prompts that were named; nil if none was.
  ///
  /// - Throws: `ModelFileError` if a file or standard input cannot be read or does not hold
  ///   prompts.
  func lines() throws(ModelFileError) -> [PromptLine]? {
    if let prompts {
      return try PromptLines.parse(
        TextInput.read(path: prompts, "a file of prompts, one per line"), path: source)
    }
    guard !prompt.isEmpty else { return nil }
    var lines: [PromptLine] = []
    for text in prompt { lines.append(PromptLine(text == "-" ? try Self.promptFromInput() : text)) }
    return lines
  }

  /// One prompt from standard input, as it is but for the end of its last line.
  private static func promptFromInput() throws(ModelFileError) -> String {
    var text = try StandardStreams.text("a prompt").unicodeScalars
    if text.last == "\n" { text.removeLast() }
    if text.last == "\r" { text.removeLast() }
    guard !text.isEmpty else {
      throw ModelFileError(
        path: StandardStreams.inputName, kind: .malformed, fault: "is empty: expected a prompt")
    }
    return String(text)
  }

  /// Says which settings of lines have no effect on a verb.
  func noteIdle(_ keys: Set<PromptKey>, in lines: [PromptLine], _ console: Console) {
    let idle = PromptKey.allCases.filter { key in
      keys.contains(key) && lines.contains { $0.keys.contains(key) }
    }
    guard !idle.isEmpty else { return }
    console.note(
      "\(idle.map(\.rawValue).joined(separator: ", ")) in \(source): without effect here")
  }
}

/// Prompts for those who name none.
enum BuiltInPrompts {
  /// What the model that comes with the program can draw.
  private static let icons = [
    "a red apple on a blue background", "a cat in front of a green wall",
    "a rocket on a black background", "a sunflower", "a penguin on an orange background",
    "a slice of pizza on a white background", "a house on a pink background",
    "a grinning face on a purple background",
  ]

  /// For every other model: people, places, things, text and styles.
  private static let general = [
    "a photograph of a lighthouse on a cliff at dawn, waves breaking on the rocks below",
    "portrait of an old fisherman with a gray beard, soft light from a window",
    "three glass bottles, green, blue and red, on a wooden table",
    "a watercolor of a fox asleep in autumn leaves",
    "a narrow street in the rain at night, neon signs reflected on the pavement",
    "a hand-painted wooden sign with the word OPEN above a bakery's door",
    "an isometric drawing of a small workshop full of tools",
    "a snowy mountain valley seen from a wooden bridge, wide view",
  ]

  /// The prompts that suit a model.
  static func lines(forModel files: [String]) -> [PromptLine] {
    let shipped = (try? ShippedModel.path()).flatMap { FileSystem.resolved($0) }
    let isShipped = shipped != nil && files.contains { FileSystem.resolved($0) == shipped }
    return (isShipped ? icons : general).map { PromptLine($0) }
  }
}
