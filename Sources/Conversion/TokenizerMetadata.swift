import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// One tokenizer of a model as GGUF metadata.
struct TokenizerMetadata {
  private typealias Pair = (key: String, value: GGUFWriter.Value)

  private let tokenizer: SlotTokenizer
  /// Keys of the family's other tokenizers.
  private let otherKeys: [TokenizerKeys]
  /// Whether the file is of the whole model.
  private let isWhole: Bool
  /// Rows of the text encoder's embedding.
  private let vocabularySize: Int

  private var keys: TokenizerKeys { tokenizer.place.keys }

  /// - Parameters:
  ///   - tokenizer: the tokenizer.
  ///   - source: what is converted.
  init(_ tokenizer: SlotTokenizer, of source: ConversionSource) {
    self.tokenizer = tokenizer
    otherKeys = source.family.tokenizers.filter { $0.key != tokenizer.place.key }.map(\.keys)
    isWhole = source.selection == .all
    vocabularySize = source.part(tokenizer.slot)?.facts.vocabularySize ?? 0
  }

  /// Pairs in file order.
  ///
  /// - Throws: `ModelFileError` if the description is malformed.
  func pairs() throws(ModelFileError) -> [(key: String, value: GGUFWriter.Value)] {
    switch tokenizer.source {
    case .json(let document, let companions):
      var pairs: [Pair] = [(keys.json, .string(document.text))] + pairs(companions)
      // llama.cpp reads lists only, and of the first tokenizer only.
      if !isWhole, keys.areKnown {
        let vocabulary = try tokenizer.tokenizing { () throws(TokenizerError) in
          try GGUFVocabulary(tokenizerJSON: try parsed(document))
        }
        if let vocabulary { pairs += try self.pairs(vocabulary) }
      }
      return pairs
    case .merges(let merges, let vocabulary, let companions):
      var pairs: [Pair] = [(keys.merges, .string(merges.text))]
      if let vocabulary { pairs.append((keys.vocabulary, .string(vocabulary.text))) }
      return pairs + self.pairs(companions)
    case .sentencePiece(let file): return try pairs([UInt8](file.bytes))
    case .embeddedSentencePiece(let bytes, _): return try pairs(bytes)
    case .vocabulary(let gguf, let source, _):
      return gguf.metadata.filter { source.owns($0.key, besides: otherKeys) }.map {
        (keys.renamed($0.key, from: source), .copy($0.value))
      }
    }
  }

  private func parsed(_ document: JSONDocument) throws(TokenizerError) -> JSONValue {
    do throws(ModelFileError) {
      return try document.parsed()
    } catch {
      throw TokenizerError(error.fault)
    }
  }

  /// What decides how a tokenizer is used.
  private func pairs(_ companions: TokenizerSource.Companions) -> [Pair] {
    var pairs: [Pair] = []
    if let settings = companions.settings {
      pairs.append((keys.settings, .string(settings.json.text())))
    }
    if let tokens = companions.specialTokens {
      pairs.append((keys.specialTokens, .string(tokens.json.text())))
    }
    if let name = companions.className { pairs.append((keys.className, .string(name))) }
    return pairs
  }

  private func pairs(_ model: [UInt8]) throws(ModelFileError) -> [Pair] {
    try pairs(
      try tokenizer.tokenizing { () throws(TokenizerError) in
        try GGUFVocabulary(sentencePieceModel: model)
      })
  }

  /// A vocabulary as llama.cpp has it, which wants a piece for each of the embedding's rows.
  private func pairs(_ vocabulary: GGUFVocabulary) throws(ModelFileError) -> [Pair] {
    var (tokens, scores, types): ([String], [Float], [Int32]) = ([], vocabulary.scores, [])
    for token in vocabulary.tokens {
      guard let text = String(validating: token, as: UTF8.self) else {
        throw ModelFileError(
          path: tokenizer.source.path, kind: .malformed,
          fault: "tokenizer: piece \(tokens.count) is not UTF-8")
      }
      tokens.append(text)
    }
    types = vocabulary.tokenTypes ?? []
    while tokens.count < vocabularySize {
      // The filling that llama.cpp's converter uses.
      tokens.append("[PAD\(tokens.count)]")
      scores.append(-10_000)
      types.append(5)
    }
    var pairs: [Pair] = [
      (keys.ggml("model"), .string(vocabulary.model)),
      (keys.ggml("pre"), .string("default")),
      (keys.ggml("tokens"), .strings(tokens)), (keys.ggml("scores"), .float32s(scores)),
      (keys.ggml("token_type"), .int32s(types)),
      (keys.ggml("add_space_prefix"), .bool(vocabulary.addSpacePrefix ?? true)),
      (
        keys.ggml("remove_extra_whitespaces"), .bool(vocabulary.removeExtraWhitespaces ?? false)
      ),
      (keys.ggml("add_bos_token"), .bool(vocabulary.addBOS ?? false)),
      (keys.ggml("add_eos_token"), .bool(vocabulary.addEOS ?? true)),
    ]
    for (key, id) in [
      ("unknown", vocabulary.unknownID), ("bos", vocabulary.bosID), ("eos", vocabulary.eosID),
    ] {
      guard let id else { continue }
      pairs.append((keys.ggml("\(key)_token_id"), .uint32(UInt32(clamping: id))))
    }
    let padding = UInt32(clamping: vocabulary.paddingID ?? 0)
    pairs.append((keys.ggml("padding_token_id"), .uint32(padding)))
    if let map = vocabulary.characterMap {
      pairs.append((keys.ggml("precompiled_charsmap"), .bytes(map)))
    }
    return pairs
  }
}

extension SlotTokenizer {
  /// What `body` makes of the tokenizer.
  ///
  /// - Throws: `ModelFileError` naming the file and the fault.
  func tokenizing<Value>(
    _ body: () throws(TokenizerError) -> Value
  ) throws(ModelFileError) -> Value {
    do throws(TokenizerError) {
      return try body()
    } catch {
      throw ModelFileError(
        path: source.path, kind: .malformed, fault: "tokenizer: \(error.description)")
    }
  }
}
