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
    let settings = preset.parts.flatMap { part in
      part.facts.settings.compactMap { value in
        family.metadataKey(of: value.setting, in: part.slot)
          .map { (key: $0, value: value.metadataValue) }
      }
    }
    let guidance = defaults.guidance.map { [(keys.guidance, GGUFWriter.Value.float32(Float($0)))] }
    return [
      ("general.architecture", .string(family.architecture)),
      ("general.name", .string("\(preset.name) with random weights")),
      ("general.file_type", .uint32(type.fileType ?? 1)),
      ("general.quantization_version", .uint32(2)),
      (keys.width, .uint32(UInt32(clamping: defaults.width))),
      (keys.height, .uint32(UInt32(clamping: defaults.height))),
      (keys.steps, .uint32(UInt32(clamping: defaults.steps))),
      (keys.guidanceScale, .float32(Float(defaults.guidanceScale))),
    ] + (guidance ?? []) + [
      (keys.maxSequenceLength, .uint32(UInt32(clamping: defaults.maxSequenceLength)))
    ] + keys.pairs(defaults.shift, trainTimesteps: defaults.trainTimesteps) + settings + [
      ("tokenizer.huggingface.json", .string(tokenizer.text()))
    ]
  }

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
