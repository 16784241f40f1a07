import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

extension ConversionSource {
  private typealias Pair = (key: String, value: GGUFWriter.Value)

  /// Metadata of a GGUF file with these parts.
  ///
  /// - Parameter mix: the file's type.
  /// - Returns: pairs in file order.
  /// - Throws: `ModelFileError` if a description of the input is malformed.
  func metadata(
    _ mix: TypeMix
  ) throws(ModelFileError) -> [(key: String, value: GGUFWriter.Value)] {
    var pairs: [Pair] = [("general.architecture", .string(architecture))]
    if let name = defaults?.value(for: "general.name"), name.type == .string {
      pairs.append(("general.name", .copy(name)))
    }
    pairs += [
      ("general.file_type", .uint32(mix.fileType)), ("general.quantization_version", .uint32(2)),
    ]
    if selection == .all { pairs += try defaultPairs() }
    for part in parts {
      if selection != .all { pairs += part.facts.standaloneMetadata }
      pairs += part.facts.settings.compactMap { value in
        family.metadata.key(of: value.setting).map { ($0, value.metadataValue) }
      }
    }
    if let tokenizer { pairs += try tokenizerPairs(tokenizer) }
    return pairs
  }

  private var architecture: String {
    selection == .all ? family.architecture : parts.first?.network.architecture ?? ""
  }

  // MARK: Defaults

  /// How the model wants to be used, as a GGUF file or a scheduler's configuration tells it.
  private func defaultPairs() throws(ModelFileError) -> [Pair] {
    var pairs: [Pair] = []
    let keys = family.metadata
    let schedule = [keys.shift, keys.trainTimesteps]
    for key in keys.flags.map(\.key) + schedule {
      guard let value = defaults?.value(for: key) else { continue }
      guard value.double != nil else {
        throw ModelFileError(
          path: defaults?.file.path ?? "", kind: .malformed,
          fault: "metadata '\(key)' is not a number")
      }
      pairs.append((key, .copy(value)))
    }
    guard let scheduler else { return pairs }
    pairs.removeAll { schedule.contains($0.key) }
    if let shift = scheduler.json["shift"]?.doubleValue {
      pairs.append((keys.shift, .float32(Float(shift))))
    }
    if let count = scheduler.json["num_train_timesteps"]?.integerValue {
      pairs.append((keys.trainTimesteps, .uint32(UInt32(clamping: count))))
    }
    return pairs
  }

  /// The flags that say what differs from the published model and what tensors do not tell.
  var factFlags: String {
    parts.flatMap { part in
      part.facts.settings.compactMap { value in
        let setting = part.network.described(value.setting)
        guard let flag = setting.flag, value.value != setting.published else { return nil }
        return "\(flag) \(value.text)"
      }
    }.joined(separator: " ")
  }

  /// The flags that stand for the defaults in the metadata of the input.
  var defaultFlags: String {
    family.metadata.flags.compactMap { key, flag -> String? in
      guard let value = defaults?.value(for: key)?.decimal else { return nil }
      return "\(flag) " + (Int(exactly: value).map { "\($0)" } ?? "\(value)")
    }.joined(separator: " ")
  }

  // MARK: Tokenizer

  private var readsText: Bool { parts.contains { $0.slot.tokenizer != nil } }

  /// Why the new file holds no tokenizer and what to do, as a note for the user; nil if it holds
  /// one or its parts read no text.
  func otherTokenizerNote(_ container: ConversionPlan.Container) -> String? {
    guard readsText else { return nil }
    if container == .folder { return nil }
    if container == .safetensors {
      return "safetensors files hold neither tokenizer nor settings: keep the model's own beside "
        + "them, and name the tokenizer with --tokenizer"
    }
    return tokenizer == nil
      ? "no tokenizer was found, so the file has none: name one with --tokenizer" : nil
  }

  private func tokenizerPairs(_ source: TokenizerSource) throws(ModelFileError) -> [Pair] {
    switch source {
    case .json(let document, let companions):
      var pairs = Self.pairs(document, companions)
      // llama.cpp reads lists only.
      if selection != .all {
        let vocabulary = try tokenizing(source.path) { () throws(TokenizerError) in
          try GGUFVocabulary(tokenizerJSON: try parsed(document))
        }
        if let vocabulary {
          pairs += try Self.pairs(vocabulary, count: vocabularySize, source.path)
        }
      }
      return pairs
    case .sentencePiece(let file): return try pairs([UInt8](file.bytes), source.path)
    case .embeddedSentencePiece(let bytes, let path): return try pairs(bytes, path)
    case .vocabulary(let gguf, _):
      return gguf.metadata.filter { $0.key.hasPrefix("tokenizer.") }.map {
        ($0.key, .copy($0.value))
      }
    }
  }

  private var vocabularySize: Int { parts.lazy.map(\.facts.vocabularySize).max() ?? 0 }

  private func parsed(_ document: JSONDocument) throws(TokenizerError) -> JSONValue {
    do throws(ModelFileError) {
      return try document.parsed()
    } catch {
      throw TokenizerError(error.fault)
    }
  }

  /// A tokenizer.json and what decides how it is used.
  private static func pairs(
    _ document: JSONDocument, _ companions: TokenizerSource.Companions
  ) -> [Pair] {
    typealias Keys = TokenizerSource.Companions
    var pairs: [Pair] = [("tokenizer.huggingface.json", .string(document.text))]
    if let settings = companions.settings {
      pairs.append((Keys.settingsKey, .string(settings.json.text())))
    }
    if let tokens = companions.specialTokens {
      pairs.append((Keys.specialTokensKey, .string(tokens.json.text())))
    }
    if let name = companions.className { pairs.append((Keys.classNameKey, .string(name))) }
    return pairs
  }

  private func pairs(_ model: [UInt8], _ path: String) throws(ModelFileError) -> [Pair] {
    let vocabulary = try tokenizing(path) { () throws(TokenizerError) in
      try GGUFVocabulary(sentencePieceModel: model)
    }
    return try Self.pairs(vocabulary, count: vocabularySize, path)
  }

  private func tokenizing<Value>(
    _ path: String, _ body: () throws(TokenizerError) -> Value
  ) throws(ModelFileError) -> Value {
    do throws(TokenizerError) {
      return try body()
    } catch {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "tokenizer: \(error.description)")
    }
  }

  /// A vocabulary as llama.cpp has it, which wants a piece for each of the embedding's `count`
  /// rows.
  private static func pairs(
    _ vocabulary: GGUFVocabulary, count: Int, _ path: String
  ) throws(ModelFileError) -> [Pair] {
    var (tokens, scores, types): ([String], [Float], [Int32]) = ([], vocabulary.scores, [])
    for token in vocabulary.tokens {
      guard let text = String(validating: token, as: UTF8.self) else {
        throw ModelFileError(
          path: path, kind: .malformed, fault: "tokenizer: piece \(tokens.count) is not UTF-8")
      }
      tokens.append(text)
    }
    types = vocabulary.tokenTypes ?? []
    while tokens.count < count {
      // The filling that llama.cpp's converter uses.
      tokens.append("[PAD\(tokens.count)]")
      scores.append(-10_000)
      types.append(5)
    }
    var pairs: [Pair] = [
      ("tokenizer.ggml.model", .string(vocabulary.model)),
      ("tokenizer.ggml.pre", .string("default")),
      ("tokenizer.ggml.tokens", .strings(tokens)), ("tokenizer.ggml.scores", .float32s(scores)),
      ("tokenizer.ggml.token_type", .int32s(types)),
      ("tokenizer.ggml.add_space_prefix", .bool(vocabulary.addSpacePrefix ?? true)),
      (
        "tokenizer.ggml.remove_extra_whitespaces", .bool(vocabulary.removeExtraWhitespaces ?? false)
      ),
      ("tokenizer.ggml.add_bos_token", .bool(vocabulary.addBOS ?? false)),
      ("tokenizer.ggml.add_eos_token", .bool(vocabulary.addEOS ?? true)),
    ]
    for (key, id) in [
      ("unknown", vocabulary.unknownID), ("bos", vocabulary.bosID), ("eos", vocabulary.eosID),
    ] {
      guard let id else { continue }
      pairs.append(("tokenizer.ggml.\(key)_token_id", .uint32(UInt32(clamping: id))))
    }
    let padding = UInt32(clamping: vocabulary.paddingID ?? 0)
    pairs.append(("tokenizer.ggml.padding_token_id", .uint32(padding)))
    if let map = vocabulary.characterMap {
      pairs.append(("tokenizer.ggml.precompiled_charsmap", .bytes(map)))
    }
    return pairs
  }
}
