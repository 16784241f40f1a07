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
  /// Noise levels that came of the settings; empty if the file does not tell.
  var sigmas: [Double] = []
  /// Fingerprints of the model's files by name.
  var modelFiles: [(name: String, fingerprint: String)] = []
  /// How activations were rounded.
  var activations: String?
  var inputs: [Input] = []
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

  private func fault(_ text: String) -> ModelFileError {
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
    sigmas = (json["sigmas"]?.arrayValue ?? []).compactMap(\.doubleValue)
    func numbers(_ key: String) -> [Double]? {
      json[key]?.arrayValue.map { $0.compactMap(\.doubleValue) }
    }
    if let given = numbers("givenSigmas") {
      request.sigmas = given
      request.steps = nil
    }
    if let steps = json["givenSteps"]?.integerValue { request.steps = steps }
    request.sampling.guidanceSchedule = numbers("guidanceSchedule")
    if let ends = numbers("guidanceInterval"), ends.count == 2, ends[0] <= ends[1] {
      request.sampling.guidanceInterval = ends[0]...ends[1]
    }
    request.sampling.guidanceRescale = json["guidanceRescale"]?.doubleValue ?? 0
    activations = json["activations"]?.stringValue
    if let strength = json["strength"]?.doubleValue {
      start = Start(
        strength: strength,
        resize: json["resize"]?.stringValue.flatMap { ResizeMode(rawValue: $0) },
        keepsUnmasked: json["keepsUnmasked"]?.boolValue ?? false,
        maskBlur: json["maskBlur"]?.integerValue)
    }
    latentsIndex = json["latentsIndex"]?.integerValue
    modelFiles = (json["modelFiles"]?.arrayValue ?? []).compactMap { file in
      guard let name = file["name"]?.stringValue, let hash = file["fingerprint"]?.stringValue
      else { return nil }
      return (name, hash)
    }
    inputs = (json["inputs"]?.arrayValue ?? []).compactMap { file in
      guard let option = file["option"]?.stringValue, let name = file["name"]?.stringValue,
        let hash = file["fingerprint"]?.stringValue
      else { return nil }
      return Input(
        option: option, name: name, fingerprint: hash, strength: file["strength"]?.doubleValue)
    }
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
    for pair in last.split(separator: ",") {
      let parts = pair.split(separator: ":", maxSplits: 1).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      if parts.count == 2 { try set(parts[0], parts[1]) }
    }
  }

  private mutating func set(_ key: String, _ value: String) throws(ModelFileError) {
    switch key {
    case "Steps": request.steps = Int(value)
    case "CFG scale": request.guidanceScale = Double(value)
    case "Distilled CFG Scale": request.guidance = Double(value)
    case "Seed":
      guard let seed = UInt64(value) else { throw fault("'Seed' is '\(value)'") }
      request.seed = seed
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
      if let schedule = ScheduleName(named: name) { request.sampling.schedule = schedule }
    default: break
    }
  }
}
