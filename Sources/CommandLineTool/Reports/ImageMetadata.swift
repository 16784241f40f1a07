import StrictJSON
import TextToImage

/// What a picture's file says about how it was made; never a path or a user's name.
struct ImageMetadata {
  let settings: GenerationSettings
  let seed: UInt64
  /// The model's file name without folders.
  let model: String

  /// Text chunks for PNG: `parameters` as A1111 writes it, `auraflow` as JSON.
  var texts: [(keyword: String, text: String)] {
    [("parameters", parameters), ("auraflow", json.text())]
  }

  /// The negative prompt, if it took part.
  private var negativePrompt: String { settings.usesGuidance ? settings.negativePrompt : "" }

  private var parameters: String {
    var lines = [settings.prompt]
    if !negativePrompt.isEmpty { lines.append("Negative prompt: \(negativePrompt)") }
    let guidance = settings.guidance.map { ["Distilled CFG Scale: \($0)"] } ?? []
    let strength = settings.strength.map { ["Denoising strength: \($0)"] } ?? []
    let facts =
      [
        "Steps: \(settings.steps)", "Sampler: Euler", "CFG scale: \(settings.guidanceScale)",
      ] + guidance + strength + [
        "Seed: \(seed)", "Size: \(settings.width)x\(settings.height)", "Model: \(model)",
        "Shift: \(settings.shift)", "Version: \(RootCommand.configuration.version)",
      ]
    lines.append(facts.joined(separator: ", "))
    return lines.joined(separator: "\n")
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
        .init(key: "version", value: .string(RootCommand.configuration.version)),
      ])
  }
}
