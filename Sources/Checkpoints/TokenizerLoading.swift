import ModelFiles
import StrictJSON
import Tokenizers

extension Tokenizer {
  /// Reads the tokenizer of a model.
  ///
  /// - Throws: `ModelFileError` naming the file and the fault.
  package init(_ source: TokenizerSource) throws(ModelFileError) {
    // A tree of up to 16 MB of text: parsed here, where it is used and dropped.
    let json: JSONValue? =
      switch source {
      case .json(let document, _): try document.parsed()
      case .merges(_, let vocabulary, _): try vocabulary?.parsed()
      case .sentencePiece, .embeddedSentencePiece, .vocabulary: nil
      }
    do throws(TokenizerError) {
      switch source {
      case .json(_, let companions):
        try self.init(
          tokenizerJSON: json ?? .null, settings: try Self.classSettings(companions))
      case .sentencePiece(let file):
        try self.init(sentencePieceModel: [UInt8](file.bytes))
      case .embeddedSentencePiece(let bytes, _):
        try self.init(sentencePieceModel: bytes)
      case .merges(let merges, _, let companions):
        try self.init(
          clipMerges: merges.bytes, vocabulary: json,
          settings: try Self.settings(of: .clip, companions))
      case .vocabulary(let gguf, let keys, _):
        try self.init(ggufVocabulary: try GGUFVocabulary(metadataOf: gguf, keys))
      }
    } catch {
      throw ModelFileError(
        path: source.path, kind: .malformed, fault: "tokenizer: \(error.description)")
    }
  }
}

extension Tokenizer {
  /// What the class that the pipeline names changes about the file; nil for other classes.
  private static func classSettings(
    _ companions: TokenizerSource.Companions
  ) throws(TokenizerError) -> TokenizerClassSettings? {
    let named = companions.className == "AutoTokenizer" ? nil : companions.className
    let className = named ?? companions.settings?.json["tokenizer_class"]?.stringValue
    guard let tokenizerClass = className.flatMap(TokenizerClass.init(named:)) else { return nil }
    return try settings(of: tokenizerClass, companions)
  }

  /// What a class makes of a tokenizer with what lies beside it.
  private static func settings(
    of tokenizerClass: TokenizerClass, _ companions: TokenizerSource.Companions
  ) throws(TokenizerError) -> TokenizerClassSettings {
    try TokenizerClassSettings(
      tokenizerClass, tokenizerConfig: companions.settings?.json,
      specialTokensMap: companions.specialTokens?.json)
  }
}

extension GGUFVocabulary {
  /// Maximum number of pieces of a vocabulary.
  private static let maximumCount = 1 << 20

  /// Collects the `tokenizer.ggml.*` metadata of a file.
  package init(
    metadataOf gguf: GGUFFile, _ keys: TokenizerKeys = TokenizerKeys()
  ) throws(TokenizerError) {
    func value(_ key: String) -> GGUFValue? { gguf.value(for: keys.ggml(key)) }
    func elements(_ key: String) throws(TokenizerError) -> [GGUFValue]? {
      guard let stored = value(key) else { return nil }
      guard let count = stored.elementCount, count <= Self.maximumCount,
        let elements = stored.elements()
      else {
        throw TokenizerError("metadata '\(keys.ggml(key))' is not an array of usable size")
      }
      return elements
    }
    let tokens = try elements("tokens") ?? []
    let scores = try elements("scores") ?? []
    self.init(
      model: value("model")?.string ?? "",
      tokens: tokens.map { Array(($0.string ?? "").utf8) },
      scores: scores.map { Float($0.double ?? 0) })
    tokenTypes = try elements("token_type").map { types in
      types.map { Int32(truncatingIfNeeded: $0.integer ?? 0) }
    }
    addSpacePrefix = value("add_space_prefix")?.bool
    addBOS = value("add_bos_token")?.bool
    addEOS = value("add_eos_token")?.bool
    bosID = value("bos_token_id")?.integer
    eosID = value("eos_token_id")?.integer
    unknownID = value("unknown_token_id")?.integer
    paddingID = value("padding_token_id")?.integer
    removeExtraWhitespaces = value("remove_extra_whitespaces")?.bool
    guard let map = value("precompiled_charsmap") else { return }
    guard let bytes = map.arrayBytes, bytes.count <= Self.maximumCount else {
      throw TokenizerError(
        "metadata '\(keys.ggml("precompiled_charsmap"))' is not an array of bytes of usable size")
    }
    characterMap = Array(bytes)
  }
}
