import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON

/// What a model's files say about it beside its tensors.
struct ModelDescriptions {
  let family: FamilyDescription
  let preset: ModelPreset
  let type: ElementType

  // MARK: GGUF

  /// Metadata of a self-contained GGUF file.
  ///
  /// - Parameter tokenizer: the content of tokenizer.json.
  /// - Returns: pairs in file order.
  func metadata(tokenizer: JSONValue) -> [(key: String, value: GGUFWriter.Value)] {
    let (keys, defaults) = (family.metadata, preset.defaults)
    let settings = preset.parts.flatMap(\.facts.settings).compactMap { value in
      keys.key(of: value.setting).map { (key: $0, value: value.metadataValue) }
    }
    return [
      ("general.architecture", .string(family.architecture)),
      ("general.name", .string("\(preset.name) with random weights")),
      ("general.file_type", .uint32(Self.fileTypes[type] ?? 1)),
      ("general.quantization_version", .uint32(2)),
      (keys.width, .uint32(UInt32(clamping: defaults.width))),
      (keys.height, .uint32(UInt32(clamping: defaults.height))),
      (keys.steps, .uint32(UInt32(clamping: defaults.steps))),
      (keys.guidanceScale, .float32(Float(defaults.guidanceScale))),
      (keys.maxSequenceLength, .uint32(UInt32(clamping: defaults.maxSequenceLength))),
      (keys.shift, .float32(Float(defaults.shift))),
      (keys.trainTimesteps, .uint32(UInt32(clamping: defaults.trainTimesteps))),
    ] + settings + [("tokenizer.huggingface.json", .string(tokenizer.text()))]
  }

  /// llama.cpp's numbers for files that are mostly of a type (`enum llama_ftype`).
  private static let fileTypes: [ElementType: UInt32] = [
    .f32: 0, .f16: 1, .q4_0: 2, .q4_1: 3, .q8_0: 7, .q5_0: 8, .q5_1: 9, .q2_K: 10, .q3_K: 11,
    .q4_K: 14, .q5_K: 16, .q6_K: 18, .iq4_nl: 25, .iq4_xs: 30, .bf16: 32,
  ]

  // MARK: Folder

  /// The small files of a diffusers folder by their paths in it.
  ///
  /// - Parameter tokenizer: the content of tokenizer.json.
  /// - Returns: paths and contents.
  func files(tokenizer: JSONValue) -> [(name: String, json: JSONValue)] {
    let context = ConfigurationContext(
      type: type, pictureSide: preset.defaults.width, isSynthetic: true)
    var files = preset.parts.map { part in
      (
        name: "\(part.slot.key)/config.json",
        json: JSONValue.object(part.facts.configuration(context))
      )
    }
    files.append(
      (
        "scheduler/scheduler_config.json",
        PipelineDescription.scheduler(
          shift: preset.defaults.shift, trainTimesteps: preset.defaults.trainTimesteps)
      ))
    for folder in family.slots.compactMap(\.tokenizer) {
      files.append(("\(folder)/tokenizer.json", tokenizer))
      files.append(("\(folder)/tokenizer_config.json", SyntheticTokenizer.configuration))
    }
    files.append(("model_index.json", index))
    return files
  }

  private var index: JSONValue {
    PipelineDescription.index(
      by: .synthesize, of: family,
      networks: Dictionary(
        preset.parts.map { ($0.slot, $0.network) }, uniquingKeysWith: { first, _ in first }),
      tokenizer: "LlamaTokenizerFast")
  }
}
