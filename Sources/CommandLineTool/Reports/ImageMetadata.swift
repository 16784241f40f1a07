import StrictJSON
import TextToImage

/// What a picture's file says about how it was made; never a path or a user's name.
struct ImageMetadata {
  let settings: GenerationSettings
  let seed: UInt64
  /// The model's file name without folders.
  let model: String
  /// Fingerprints of the model's files by name.
  var modelFiles: [(name: String, fingerprint: String)] = []
  /// How activations were rounded.
  var activations = ""
  /// Files that took part beside the model.
  var inputs: [RecordedPicture.Input] = []
  /// The picture that it started from; nil if there was none.
  var start: StartPicture?
  /// The picture's number in a file of latents for several; else nil.
  var latentsIndex: Int?

  /// Text chunks for PNG: `parameters` as A1111 writes it, `auraflow` as JSON.
  var texts: [(keyword: String, text: String)] {
    [("parameters", parameters), ("auraflow", json.text())]
  }

  /// The negative prompt, if it took part.
  private var negativePrompt: String { settings.usesGuidance ? settings.negativePrompt : "" }

  private var parameters: String {
    var lines = [settings.prompt]
    if !negativePrompt.isEmpty { lines.append("Negative prompt: \(negativePrompt)") }
    let schedule = (settings.schedule?.commonName).map { ["Schedule type: \($0)"] } ?? []
    let guidance = settings.guidance.map { ["Distilled CFG Scale: \($0)"] } ?? []
    let strength = settings.strength.map { ["Denoising strength: \($0)"] } ?? []
    let facts =
      [
        "Steps: \(settings.steps)", "Sampler: \(settings.sampler.commonName)",
      ] + schedule + ["CFG scale: \(settings.guidanceScale)"] + guidance + strength + [
        "Seed: \(seed)", "Size: \(settings.width)x\(settings.height)", "Model: \(model)",
        "Shift: \(settings.shift)", "Version: \(RootCommand.configuration.version)",
      ]
    lines.append(facts.joined(separator: ", "))
    return lines.joined(separator: "\n")
  }

  /// What has to be there again for the same picture.
  private var files: [JSONValue.Member] {
    var members: [JSONValue.Member] = [
      .init(
        key: "modelFiles",
        value: .array(
          modelFiles.map { file in
            .object([
              .init(key: "name", value: .string(file.name)),
              .init(key: "fingerprint", value: .string(file.fingerprint)),
            ])
          })),
      .init(key: "activations", value: .string(activations)),
    ]
    if let start {
      members.append(.init(key: "resize", value: .string(start.resize.rawValue)))
      if start.keepsUnmasked {
        members.append(.init(key: "keepsUnmasked", value: .bool(true)))
        members.append(.init(key: "maskBlur", value: .integer(start.maskBlur)))
      }
    }
    if let latentsIndex {
      members.append(.init(key: "latentsIndex", value: .integer(latentsIndex)))
    }
    if !inputs.isEmpty {
      let list = inputs.map { input -> JSONValue in
        .object(
          [
            .init(key: "option", value: .string(input.option)),
            .init(key: "name", value: .string(input.name)),
            .init(key: "fingerprint", value: .string(input.fingerprint)),
          ] + (input.strength.map { [.init(key: "strength", value: .double($0))] } ?? []))
      }
      members.append(.init(key: "inputs", value: .array(list)))
    }
    return members
  }

  /// The same as JSON.
  var json: JSONValue {
    .object(
      [
        .init(key: "prompt", value: .string(settings.prompt)),
        .init(key: "negativePrompt", value: .string(negativePrompt)),
        .init(key: "seed", value: .seed(seed)),
      ] + settings.commonMembers + [
        .init(key: "sigmas", value: .array(settings.sigmas.map { .double(Double($0)) })),
        .init(key: "model", value: .string(model)),
      ] + files + [
        .init(key: "version", value: .string(RootCommand.configuration.version))
      ])
  }
}

extension SamplerName {
  /// As A1111's metadata call it.
  fileprivate var commonName: String {
    switch self {
    case .euler: "Euler"
    case .eulerAncestral: "Euler a"
    case .heun: "Heun"
    case .dpmpp2M: "DPM++ 2M"
    case .uniPC: "UniPC"
    case .ddim: "DDIM"
    case .pndm: "PLMS"
    case .lcm: "LCM"
    }
  }
}

extension ScheduleName {
  /// As A1111's metadata call it; nil for the family's own.
  fileprivate var commonName: String? {
    switch self {
    case .default: nil
    case .simple: "Simple"
    case .normal: "Normal"
    case .sgmUniform: "SGM Uniform"
    case .ddimUniform: "DDIM"
    case .karras: "Karras"
    case .exponential: "Exponential"
    case .beta: "Beta"
    case .linearQuadratic: "Linear Quadratic"
    case .klOptimal: "KL Optimal"
    }
  }
}
