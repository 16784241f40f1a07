import Diffusion
import Foundation
import ModelFiles
import StrictJSON

/// A prompt with what differs from a run's other settings.
package struct PromptLine: Sendable, Equatable {
  /// What the picture should show.
  package var text: String
  /// What it should not show.
  package var negativePrompt: String?
  package var width, height, steps, maxSequenceLength, imageCount: Int?
  package var guidanceScale, guidance, shift: Double?
  package var promptWeights: PromptWeighting?
  package var sampler: SamplerName?
  package var schedule: ScheduleName?
  package var seed: UInt64?
  /// The file of the picture to start from, and of its mask.
  package var initImage, mask: String?
  /// How much of that picture may change.
  package var strength: Double?
  /// The picture's file.
  package var output: String?

  /// A prompt with no settings of its own.
  package init(_ text: String) { self.text = text }

  /// A run's request with this prompt, and with what it has of its own.
  package func request(_ common: GenerationRequest) -> GenerationRequest {
    var request = common
    request.prompt = text
    request.negativePrompt = negativePrompt ?? request.negativePrompt
    request.promptWeights = promptWeights ?? request.promptWeights
    request.width = width ?? request.width
    request.height = height ?? request.height
    request.steps = steps ?? request.steps
    if let guidanceScale {
      request.guidanceScale = guidanceScale
      request.sampling.guidanceSchedule = nil
    }
    request.guidance = guidance ?? request.guidance
    request.shift = shift ?? request.shift
    request.maxSequenceLength = maxSequenceLength ?? request.maxSequenceLength
    request.sampling.sampler = sampler ?? request.sampling.sampler
    request.sampling.schedule = schedule ?? request.sampling.schedule
    request.seed = seed ?? request.seed
    return request
  }

  /// The keys of settings that it has, beside the prompt.
  package var keys: [PromptKey] {
    PromptKey.allCases.filter { $0 != .prompt && $0.isSet(in: self) }
  }
}

/// What a line of JSON may say.
package enum PromptKey: String, Sendable, CaseIterable {
  case prompt, negativePrompt, promptWeights, width, height, steps, guidanceScale, guidance, shift
  case sampler, schedule, maxSequenceLength, seed, numImages, initImage, mask, strength, output

  /// Either spelling is taken: guidanceScale and guidance_scale.
  init?(spelled name: String) {
    let plain = name.replacingOccurrences(of: "_", with: "").lowercased()
    guard let key = Self.allCases.first(where: { $0.rawValue.lowercased() == plain }) else {
      return nil
    }
    self = key
  }

  fileprivate func isSet(in line: PromptLine) -> Bool {
    switch self {
    case .prompt: true
    case .negativePrompt: line.negativePrompt != nil
    case .promptWeights: line.promptWeights != nil
    case .width: line.width != nil
    case .height: line.height != nil
    case .steps: line.steps != nil
    case .guidanceScale: line.guidanceScale != nil
    case .guidance: line.guidance != nil
    case .shift: line.shift != nil
    case .sampler: line.sampler != nil
    case .schedule: line.schedule != nil
    case .maxSequenceLength: line.maxSequenceLength != nil
    case .seed: line.seed != nil
    case .numImages: line.imageCount != nil
    case .initImage: line.initImage != nil
    case .mask: line.mask != nil
    case .strength: line.strength != nil
    case .output: line.output != nil
    }
  }
}

/// Prompts as people write them into files: one per line, as text or as a JSON object with settings
/// of its own. Empty lines and lines that begin with `#` do not count.
package enum PromptLines {
  /// Most prompts of a file.
  private static let maximumCount = 100_000

  /// Reads the text of a file.
  ///
  /// - Parameters:
  ///   - text: the file's content.
  ///   - path: its name, for messages.
  /// - Returns: the prompts, at least one.
  /// - Throws: `ModelFileError` that names the line at fault.
  package static func parse(_ text: String, path: String) throws(ModelFileError) -> [PromptLine] {
    func malformed(_ fault: String) -> ModelFileError {
      ModelFileError(path: path, kind: .malformed, fault: fault)
    }
    var prompts: [PromptLine] = []
    for (index, line) in lines(of: text).enumerated() {
      let line = line.trimmingCharacters(in: .whitespacesAndNewlines)
      guard !line.isEmpty, !line.hasPrefix("#") else { continue }
      do throws(PromptFault) {
        prompts.append(line.hasPrefix("{") ? try prompt(ofJSON: line) : PromptLine(line))
      } catch {
        throw malformed("line \(index + 1): \(error.message)")
      }
      guard prompts.count <= maximumCount else {
        throw malformed("has more than \(maximumCount) prompts")
      }
    }
    guard !prompts.isEmpty else {
      throw malformed("has no prompt: expected one per line, as text or as {\"prompt\": ...}")
    }
    return prompts
  }

  /// Lines as every system ends them: line feed, carriage return, or both.
  private static func lines(of text: String) -> [String] {
    var lines: [String] = []
    var line = String.UnicodeScalarView()
    var last: Unicode.Scalar?
    for scalar in text.unicodeScalars {
      defer { last = scalar }
      guard scalar == "\n" || scalar == "\r" else {
        line.append(scalar)
        continue
      }
      if scalar == "\n", last == "\r" { continue }
      lines.append(String(line))
      line = String.UnicodeScalarView()
    }
    return lines + [String(line)]
  }

  fileprivate struct PromptFault: Error {
    let message: String
  }

  private static func prompt(ofJSON line: String) throws(PromptFault) -> PromptLine {
    let value: JSONValue
    do {
      value = try JSONValue(parsing: line)
    } catch {
      throw PromptFault(
        message: "is not a JSON object: \(error); a prompt that begins with { is written as "
          + "{\"prompt\": \"{...\"}")
    }
    var prompt = PromptLine("")
    var seen: Set<PromptKey> = []
    for member in value.members ?? [] {
      guard let key = PromptKey(spelled: member.key) else {
        throw PromptFault(
          message: "'\(member.key)' is not a setting; settings are "
            + PromptKey.allCases.map(\.rawValue).joined(separator: ", "))
      }
      guard seen.insert(key).inserted else {
        throw PromptFault(message: "has '\(member.key)' twice")
      }
      try prompt.set(key, member)
    }
    guard seen.contains(.prompt) else { throw PromptFault(message: "has no 'prompt'") }
    return prompt
  }
}

extension PromptLine {
  fileprivate mutating func set(
    _ key: PromptKey, _ member: JSONValue.Member
  ) throws(PromptLines.PromptFault) {
    func fault(_ expected: String) -> PromptLines.PromptFault {
      PromptLines.PromptFault(
        message: "'\(member.key)' is \(member.value.text()), expected \(expected)")
    }
    func text() throws(PromptLines.PromptFault) -> String {
      guard let text = member.value.stringValue else { throw fault("a string") }
      return text
    }
    func file() throws(PromptLines.PromptFault) -> String {
      let name = try text()
      guard !name.isEmpty, !name.utf8.contains(0) else { throw fault("the name of a file") }
      return name
    }
    func count() throws(PromptLines.PromptFault) -> Int {
      guard let number = member.value.integerValue else { throw fault("an integer") }
      return number
    }
    func number() throws(PromptLines.PromptFault) -> Double {
      guard let number = member.value.doubleValue else { throw fault("a number") }
      return number
    }
    switch key {
    case .prompt: self.text = try text()
    case .negativePrompt: negativePrompt = try text()
    case .promptWeights:
      guard let weighting = PromptWeighting(rawValue: try text().lowercased()) else {
        throw fault("one of " + PromptWeighting.allCases.map(\.rawValue).joined(separator: ", "))
      }
      promptWeights = weighting
    case .width: width = try count()
    case .height: height = try count()
    case .steps: steps = try count()
    case .maxSequenceLength: maxSequenceLength = try count()
    case .guidanceScale: guidanceScale = try number()
    case .guidance: guidance = try number()
    case .shift: shift = try number()
    case .sampler:
      guard let name = SamplerName(named: try text()) else {
        throw fault("one of " + SamplerName.allCases.map(\.rawValue).joined(separator: ", "))
      }
      sampler = name
    case .schedule:
      guard let name = ScheduleName(named: try text()) else {
        throw fault("one of " + ScheduleName.allCases.map(\.rawValue).joined(separator: ", "))
      }
      schedule = name
    case .seed:
      // Metadata of pictures has seeds as texts where they are beyond what JSON readers keep.
      guard
        let seed = member.value.integerValue.flatMap({ UInt64(exactly: $0) })
          ?? member.value.stringValue.flatMap({ UInt64($0) })
      else { throw fault("an integer of at least 0") }
      self.seed = seed
    case .numImages:
      guard let count = member.value.integerValue, (1...256).contains(count) else {
        throw fault("a number of pictures from 1 to 256")
      }
      imageCount = count
    case .initImage: initImage = try file()
    case .mask: mask = try file()
    case .strength: strength = try number()
    case .output:
      let name = try text()
      guard name.lowercased().hasSuffix(".png"), !name.utf8.contains(0) else {
        throw fault("a name ending in .png")
      }
      output = name
    }
  }
}
