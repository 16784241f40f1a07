import Foundation
import Images
import ModelFiles
import StrictJSON
import TextToImage

/// How a picture was made, as its file says.
struct RecordedPicture {
  /// A file that took part beside the model.
  struct Input {
    /// The option that named it, without dashes.
    let option: String
    /// Its name without folders.
    let name: String
    let fingerprint: String
    /// How strongly it was applied; nil for what has no strength.
    var strength: Double?
  }

  /// How a picture started from another one.
  struct Start {
    let strength: Double?
    let resize: ResizeMode?
    let keepsUnmasked: Bool
    let maskBlur: Int?
  }

  /// The picture's file.
  let path: String
  /// Prompt and settings; what the file does not tell is the model's.
  var request: GenerationRequest
  /// The shift that came of the settings; nil if the file does not tell.
  var shift: Double?
  /// Fingerprints of the model's files by name.
  var modelFiles: [(name: String, fingerprint: String)] = []
  /// How activations were rounded.
  var activations: String?
  var inputs: [Input] = []
  /// Settings of another program that are not repeated.
  var ignored: [String] = []
  /// How it started from another picture; nil if it did not.
  var start: Start?
  /// The picture's number among those of its prompt, where latents were given for several.
  var latentsIndex: Int?

  /// Reads a picture's metadata: this program's, else what A1111 and others write.
  ///
  /// - Throws: `ModelFileError` if it is no PNG file or does not say how it was made.
  init(path: String) throws(ModelFileError) {
    self.path = path
    let bytes = try PictureFile.bytes(path: path)
    guard let texts = PNGTexts.read(bytes) else {
      throw ModelFileError(path: path, kind: .malformed, fault: "is not a PNG file")
    }
    request = GenerationRequest(prompt: "")
    if let text = texts["auraflow"] {
      try read(json: text)
    } else if let text = texts["parameters"] {
      try read(parameters: text)
    } else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "does not say how it was made: there is no text 'auraflow' or 'parameters' in it")
    }
  }

  /// What is wrong with the metadata.
  func fault(_ text: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: "its metadata are not as expected: \(text)")
  }

  // MARK: This program's

  private mutating func read(json text: String) throws(ModelFileError) {
    let json: JSONValue
    do {
      json = try JSONValue(parsing: text)
    } catch {
      throw fault("\(error)")
    }
    let keys: [String] = PromptKey.allCases.map(\.rawValue)
    // Settings are those of a line of prompts, and are checked in the same way.
    let settings = (json.members ?? []).filter {
      keys.contains($0.key) && !["numImages", "output", "shift"].contains($0.key)
    }
    let lines = try PromptLines.parse(JSONValue.object(settings).text(), path: path)
    guard let line = lines.first else { throw fault("they hold no prompt") }
    request = line.request(request)
    shift = json["shift"]?.doubleValue
    try readLevels(json)
    request.sampling.guidanceRescale = json["guidanceRescale"]?.doubleValue ?? 0
    activations = json["activations"]?.stringValue
    latentsIndex = json["latentsIndex"]?.integerValue
    if let strength = json["strength"]?.doubleValue {
      start = Start(
        strength: strength, resize: try resize(json["resize"]),
        keepsUnmasked: json["keepsUnmasked"]?.boolValue ?? false,
        maskBlur: json["maskBlur"]?.integerValue)
    }
    modelFiles = try records(json["modelFiles"], "modelFiles").map { file in
      (file.name, file.fingerprint)
    }
    inputs = try records(json["inputs"], "inputs")
  }

  private mutating func readLevels(_ json: JSONValue) throws(ModelFileError) {
    if let given = try numbers(json["givenSigmas"], "givenSigmas") {
      request.sigmas = given
      request.steps = nil
    }
    if let steps = json["givenSteps"]?.integerValue { request.steps = steps }
    request.sampling.guidanceSchedule = try numbers(json["guidanceSchedule"], "guidanceSchedule")
    if let ends = try numbers(json["guidanceInterval"], "guidanceInterval") {
      guard ends.count == 2, ends[0] <= ends[1] else {
        throw fault("'guidanceInterval' is not two rising numbers")
      }
      request.sampling.guidanceInterval = ends[0]...ends[1]
    }
  }

  private func numbers(_ json: JSONValue?, _ key: String) throws(ModelFileError) -> [Double]? {
    guard let json else { return nil }
    let values = json.arrayValue?.compactMap(\.doubleValue)
    guard let values, values.count == json.arrayValue?.count else {
      throw fault("'\(key)' is not a list of numbers")
    }
    return values
  }

  private func resize(_ json: JSONValue?) throws(ModelFileError) -> ResizeMode? {
    guard let json else { return nil }
    guard let mode = json.stringValue.flatMap({ ResizeMode(rawValue: $0) }) else {
      throw fault(
        "'resize' is none of " + ResizeMode.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return mode
  }

  private func records(_ json: JSONValue?, _ key: String) throws(ModelFileError) -> [Input] {
    guard let json else { return [] }
    var records: [Input] = []
    for file in json.arrayValue ?? [.null] {
      guard let name = file["name"]?.stringValue, let hash = file["fingerprint"]?.stringValue
      else { throw fault("'\(key)' is not a list of files with name and fingerprint") }
      records.append(
        Input(
          option: file["option"]?.stringValue ?? "", name: name, fingerprint: hash,
          strength: file["strength"]?.doubleValue))
    }
    return records
  }

  // MARK: A1111's

  /// Prompt, `Negative prompt: …`, and a last line of `Key: value` pairs.
  private mutating func read(parameters text: String) throws(ModelFileError) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard let last = lines.last(where: { !$0.isEmpty }), last.contains("Steps: "),
      let place = lines.lastIndex(of: last)
    else { throw fault("no line with 'Steps: '") }
    lines = Array(lines[..<place])
    let negative = lines.firstIndex { $0.hasPrefix("Negative prompt: ") }
    request.prompt = lines[..<(negative ?? lines.count)].joined(separator: "\n")
    if let negative {
      let text = lines[negative...].joined(separator: "\n")
      request.negativePrompt = String(text.dropFirst("Negative prompt: ".count))
    }
    // This program's own pictures say whether parentheses were weights.
    if !last.contains("Version: auraflow") { request.promptWeights = .a1111 }
    for pair in last.split(separator: ",") {
      let parts = pair.split(separator: ":", maxSplits: 1).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      if parts.count == 2 { try set(parts[0], parts[1]) }
    }
  }

  private mutating func set(_ key: String, _ value: String) throws(ModelFileError) {
    func number<Number>(_ convert: (String) -> Number?) throws(ModelFileError) -> Number {
      guard let number = convert(value) else { throw fault("'\(key)' is '\(value)'") }
      return number
    }
    switch key {
    case "Steps": request.steps = try number { Int($0) }
    case "CFG scale": request.guidanceScale = try number { Double($0) }
    case "Distilled CFG Scale": request.guidance = try number { Double($0) }
    case "Shift": shift = try number { Double($0) }
    case "Seed": request.seed = try number { UInt64($0) }
    case "Size":
      let sides = value.split(separator: "x").compactMap { Int($0) }
      guard sides.count == 2 else { throw fault("'Size' is '\(value)'") }
      (request.width, request.height) = (sides[0], sides[1])
    case "Sampler":
      guard let sampler = SamplerName(named: value) else {
        throw fault("the sampler '\(value)' is not one of this program's: pass --sampler")
      }
      request.sampling.sampler = sampler
    case "Schedule type":
      let name = value.lowercased().replacingOccurrences(of: " ", with: "_")
      guard let schedule = ScheduleName(named: name) else {
        throw fault("the schedule '\(value)' is not one of this program's: pass --schedule")
      }
      request.sampling.schedule = schedule
    case "Denoising strength", "Clip skip", "Hires upscale", "Variation seed", "Refiner":
      ignored.append(key)
    default: break
    }
  }
}
