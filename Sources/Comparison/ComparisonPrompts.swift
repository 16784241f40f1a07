import Foundation
import ModelFiles
import StrictJSON
import TextToImage

/// A prompt with what differs from the model's defaults.
package struct ComparisonPrompt: Sendable, Equatable {
  /// What the picture should show.
  package var text: String
  /// What it should not show.
  package var negativePrompt = ""
  package var width, height, steps, maxSequenceLength: Int?
  package var guidanceScale, shift: Double?

  /// A prompt with the defaults.
  package init(_ text: String) { self.text = text }

  /// The request for one picture.
  package func request(seed: UInt64) -> GenerationRequest {
    var request = GenerationRequest(prompt: text)
    request.negativePrompt = negativePrompt
    request.width = width
    request.height = height
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.shift = shift
    request.maxSequenceLength = maxSequenceLength
    request.seed = seed
    return request
  }
}

/// A file of prompts: one per line, as text or as a JSON object with settings of its own. Empty lines
/// and lines that begin with `#` do not count.
package struct ComparisonPrompts: Sendable {
  package let prompts: [ComparisonPrompt]

  /// Most prompts of a comparison.
  private static let maximumCount = 100_000

  /// Reads the text of a file.
  ///
  /// - Parameters:
  ///   - text: the file's content.
  ///   - path: its name, for messages.
  /// - Throws: `ModelFileError` that names the line at fault.
  package init(text: String, path: String) throws(ModelFileError) {
    var prompts: [ComparisonPrompt] = []
    // Scalars: a carriage return and a line feed are one character.
    let lines = text.unicodeScalars.split(omittingEmptySubsequences: false) { $0 == "\n" }
    for (index, line) in lines.enumerated() {
      let line = String(line).trimmingCharacters(in: .whitespacesAndNewlines)
      guard !line.isEmpty, !line.hasPrefix("#") else { continue }
      do throws(PromptFault) {
        prompts.append(line.hasPrefix("{") ? try Self.parse(line) : ComparisonPrompt(line))
      } catch {
        throw ModelFileError(
          path: path, kind: .malformed, fault: "line \(index + 1): \(error.message)")
      }
    }
    guard !prompts.isEmpty else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "has no prompt: expected one per line, as text or as {\"prompt\": ...}")
    }
    guard prompts.count <= Self.maximumCount else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "has \(prompts.count) prompts, at most \(Self.maximumCount) are compared")
    }
    self.prompts = prompts
  }

  fileprivate struct PromptFault: Error {
    let message: String
  }

  fileprivate static let keys =
    "prompt, negativePrompt, width, height, steps, guidanceScale, shift, maxSequenceLength"

  private static func parse(_ line: String) throws(PromptFault) -> ComparisonPrompt {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: line)
    } catch {
      throw PromptFault(message: "is no JSON object: \(error)")
    }
    var prompt = ComparisonPrompt("")
    var seen: Set<String> = []
    for member in value.members ?? [] {
      // Both spellings: guidanceScale and guidance_scale.
      let key = member.key.replacingOccurrences(of: "_", with: "").lowercased()
      guard seen.insert(key).inserted else {
        throw PromptFault(message: "has '\(member.key)' twice")
      }
      try prompt.set(key, member)
    }
    guard seen.contains("prompt") else { throw PromptFault(message: "has no 'prompt'") }
    return prompt
  }
}

extension ComparisonPrompt {
  fileprivate mutating func set(
    _ key: String, _ member: JSONValue.Member
  ) throws(ComparisonPrompts.PromptFault) {
    func fault(_ expected: String) -> ComparisonPrompts.PromptFault {
      ComparisonPrompts.PromptFault(
        message: "'\(member.key)' is \(member.value.text()), expected \(expected)")
    }
    func text() throws(ComparisonPrompts.PromptFault) -> String {
      guard let text = member.value.stringValue else { throw fault("a text") }
      return text
    }
    func count() throws(ComparisonPrompts.PromptFault) -> Int {
      guard let number = member.value.integerValue else { throw fault("a whole number") }
      return number
    }
    func number() throws(ComparisonPrompts.PromptFault) -> Double {
      guard let number = member.value.doubleValue else { throw fault("a number") }
      return number
    }
    switch key {
    case "prompt": self.text = try text()
    case "negativeprompt": negativePrompt = try text()
    case "width": width = try count()
    case "height": height = try count()
    case "steps": steps = try count()
    case "maxsequencelength": maxSequenceLength = try count()
    case "guidancescale": guidanceScale = try number()
    case "shift": shift = try number()
    default:
      throw ComparisonPrompts.PromptFault(
        message: "'\(member.key)' is no setting; there are \(ComparisonPrompts.keys)")
    }
  }
}
