import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// The small files of a diffusers folder: configurations, index, scheduler and tokenizer.
///
/// What the input's own files say is kept; what is missing follows from the opened networks.
struct FolderDescriptions {
  let source: ConversionSource
  /// The type of the weights.
  let type: ElementType

  /// Paths in the folder with contents.
  ///
  /// - Returns: all files; of a single part those of its own folder.
  /// - Throws: `ModelFileError` or `ConversionError` for a tokenizer that such folders cannot have.
  func files() throws -> [(name: String, bytes: [UInt8])] {
    let isWhole = source.selection == .all
    var files = source.parts.map { part in
      (
        name: (isWhole ? part.slot.key + "/" : "") + "config.json",
        bytes: Self.bytes(configuration(of: part, isAlone: !isWhole))
      )
    }
    guard isWhole else { return files }
    files.append(("scheduler/scheduler_config.json", try Self.bytes(scheduler)))
    for folder in source.family.slots.compactMap(\.tokenizer) {
      files += try tokenizerFiles().map { ("\(folder)/\($0.name)", $0.bytes) }
    }
    files.append(("model_index.json", Self.bytes(index)))
    return files
  }

  private static func bytes(_ json: JSONValue) -> [UInt8] {
    Array((json.text(indentation: 2) + "\n").utf8)
  }

  // MARK: Parts

  private func configuration(of part: ConversionSource.Part, isAlone: Bool) -> JSONValue {
    let stated = part.configuration?.members ?? []
    let side = source.pictureWidth
    let context = ConfigurationContext(type: type, pictureSide: side, isSynthetic: false)
    let maker = JSONValue.Member(
      key: "_name_or_path", value: .string(OwnFolder.Maker.convert.rawValue))
    var own = (isAlone ? [maker] : []) + part.facts.configuration(context)
    if stated.contains(where: { $0.key == "dtype" }) {
      own.append(.init(key: "dtype", value: PipelineDescription.dataType(type)))
    }
    // Without a default of the model's own, the size is a guess.
    if side == nil, stated.contains(where: { $0.key == "sample_size" }) {
      own.removeAll { $0.key == "sample_size" }
    }
    // What was found while the part was opened is true; of the rest the input knows more, but for
    // how its own weights were stored and who wrote it.
    let replaced =
      Set(own.map(\.key)).union([maker.key, "quantization_config", "compression_config"])
    return .object(own + stated.filter { !replaced.contains($0.key) })
  }

  // MARK: Pipeline

  private var index: JSONValue {
    PipelineDescription.index(
      by: .convert, of: source.family,
      networks: Dictionary(
        source.parts.map { ($0.slot, $0.network) }, uniquingKeysWith: { first, _ in first }),
      tokenizer: tokenizerClass)
  }

  private var scheduler: JSONValue {
    get throws(ModelFileError) {
      if let stated = source.scheduler?.json { return stated }
      let schedule = try source.schedule()
      return PipelineDescription.scheduler(
        shift: schedule.shift, trainTimesteps: schedule.trainTimesteps)
    }
  }

  // MARK: Tokenizer

  private var tokenizerClass: String {
    guard case .json(_, let companions)? = source.tokenizer else { return "LlamaTokenizerFast" }
    let stated = companions.settings?.json["tokenizer_class"]?.stringValue
    return companions.className ?? stated ?? "PreTrainedTokenizerFast"
  }

  /// What transformers needs to know where the input does not say it: T5 models fill up with id 0.
  private func tokenizerSettings(_ document: JSONDocument) throws(ModelFileError) -> JSONValue {
    let vocabulary = try document.parsed()["model"]?["vocab"]
    let names = vocabulary?.members?.lazy.map { ($0.key, $0.value.integerValue) }
    let padding = names?.first { $0.1 == 0 }?.0
    func known(_ name: String) -> JSONValue {
      vocabulary?[name] == nil ? .null : .string(name)
    }
    return [
      "tokenizer_class": .string(tokenizerClass), "clean_up_tokenization_spaces": false,
      "eos_token": known("</s>"), "pad_token": padding.map { .string($0) } ?? .null,
      "unk_token": known("<unk>"),
    ]
  }

  /// A SentencePiece model, with what transformers needs to know beside it.
  private func pieceFiles(
    _ model: [UInt8], _ path: String
  ) throws(ModelFileError) -> [(name: String, bytes: [UInt8])] {
    let vocabulary: GGUFVocabulary
    do throws(TokenizerError) {
      vocabulary = try GGUFVocabulary(sentencePieceModel: model)
    } catch {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "tokenizer: \(error.description)")
    }
    func token(_ id: Int?) -> JSONValue {
      guard let id, vocabulary.tokens.indices.contains(id) else { return .null }
      return .string(String(decoding: vocabulary.tokens[id], as: UTF8.self))
    }
    let settings: JSONValue = [
      "tokenizer_class": .string(tokenizerClass), "clean_up_tokenization_spaces": false,
      "add_bos_token": false, "add_eos_token": true, "eos_token": token(vocabulary.eosID),
      "pad_token": token(0), "unk_token": token(vocabulary.unknownID),
    ]
    return [("tokenizer.model", model), ("tokenizer_config.json", Self.bytes(settings))]
  }

  private func tokenizerFiles() throws -> [(name: String, bytes: [UInt8])] {
    switch source.tokenizer {
    case .json(let document, let companions)?:
      var files = [("tokenizer.json", Array(document.text.utf8))]
      files.append(
        (
          "tokenizer_config.json",
          Self.bytes(try companions.settings?.json ?? tokenizerSettings(document))
        ))
      if let tokens = companions.specialTokens {
        files.append(("special_tokens_map.json", Self.bytes(tokens.json)))
      }
      return files
    case .sentencePiece(let file)?: return try pieceFiles([UInt8](file.bytes), file.path)
    case .embeddedSentencePiece(let bytes, let path)?: return try pieceFiles(bytes, path)
    case .vocabulary?, nil:
      throw ConversionError.unusable(
        "the tokenizer is a vocabulary in a GGUF file, which a folder cannot hold: name its "
          + "tokenizer.json or tokenizer.model with --tokenizer")
    }
  }
}

extension ConversionSource {
  /// Pixels per row of pictures, if the input says how it wants to be used.
  fileprivate var pictureWidth: Int? {
    let width = defaults?.value(for: family.metadata.width)?.integer
    return width.flatMap { (8...65_536).contains($0) ? $0 : nil }
  }
}
