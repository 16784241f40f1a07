import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// What a model's files say about it beside its tensors.
struct ModelDescriptions {
  let family: FamilyDescription
  let preset: ModelPreset
  let type: ElementType

  // MARK: GGUF

  /// Metadata of a self-contained GGUF file, in file order.
  var metadata: [(key: String, value: GGUFWriter.Value)] {
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
    ] + keys.pairs(defaults.shift, trainTimesteps: defaults.trainTimesteps) + settings
      + tokenizers.map { ($0.metadata.key, .string($0.metadata.text)) }
  }

  // MARK: Folder

  /// The small files of a diffusers folder by their paths in it.
  var files: [(name: String, text: String)] {
    let context = ConfigurationContext(
      type: type, pictureSide: preset.defaults.width, isSynthetic: true)
    var files = preset.parts.map { part in
      (
        name: "\(part.slot.key)/config.json",
        text: Self.text(.object(part.facts.configuration(context)))
      )
    }
    files.append(
      (
        "scheduler/scheduler_config.json",
        Self.text(
          PipelineDescription.scheduler(
            shift: preset.defaults.shift, trainTimesteps: preset.defaults.trainTimesteps))
      ))
    files += tokenizers.flatMap(\.files)
    files.append(("model_index.json", Self.text(index)))
    return files
  }

  /// An object as the text of a file.
  static func text(_ json: JSONValue) -> String { json.text(indentation: 2) + "\n" }

  private var index: JSONValue {
    PipelineDescription.index(
      by: .synthesize, of: family,
      networks: Dictionary(
        preset.parts.map { ($0.slot, $0.network) }, uniquingKeysWith: { first, _ in first })
    ) { $0.form.className }
  }

  // MARK: Tokenizers

  /// A tokenizer as metadata and as files.
  private struct TokenizerTexts {
    let metadata: (key: String, text: String)
    let files: [(name: String, text: String)]
  }

  /// The tokenizers of all text encoders.
  private var tokenizers: [TokenizerTexts] {
    preset.parts.compactMap { part in part.slot.tokenizer.map { tokenizer($0, of: part) } }
  }

  private func tokenizer(_ place: TokenizerPlace, of part: ModelPreset.Part) -> TokenizerTexts {
    func files(_ files: [(name: String, text: String)]) -> [(name: String, text: String)] {
      files.map { ("\(place.key)/\($0.name)", $0.text) }
    }
    func json(_ json: JSONValue, _ settings: JSONValue) -> TokenizerTexts {
      TokenizerTexts(
        metadata: (place.keys.json, json.text()),
        files: files([
          ("tokenizer.json", Self.text(json)), ("tokenizer_config.json", Self.text(settings)),
        ]))
    }
    switch place.form {
    case .sentencePieceBytePairs:
      return json(
        SyntheticTokenizer(pieceCount: preset.pieceCount).json, SyntheticTokenizer.configuration)
    case .unigram:
      return json(
        SyntheticUnigramTokenizer(pieceCount: preset.pieceCount).json,
        SyntheticUnigramTokenizer.configuration)
    case .clip:
      let made = SyntheticCLIPTokenizer(idCount: part.facts.vocabularySize)
      return TokenizerTexts(
        metadata: (place.keys.merges, made.merges),
        files: files([
          ("vocab.json", Self.text(made.vocabulary)), ("merges.txt", made.merges),
          ("tokenizer_config.json", Self.text(CLIPVocabulary.configuration)),
        ]))
    }
  }
}
