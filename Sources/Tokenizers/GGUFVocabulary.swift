/// The `tokenizer.ggml.*` metadata of a GGUF file.
package struct GGUFVocabulary: Sendable {
  /// `tokenizer.ggml.model`: "llama" is SentencePiece's byte-pair encoding, "t5" its unigram model;
  /// others cannot be used.
  package var model: String
  /// UTF-8 of `tokenizer.ggml.tokens`, by id.
  package var tokens: [[UInt8]]
  /// `tokenizer.ggml.scores`, one per token.
  package var scores: [Float]
  /// `tokenizer.ggml.token_type`, one per token.
  package var tokenTypes: [Int32]?
  package var addSpacePrefix: Bool?
  /// `tokenizer.ggml.add_bos_token`; T5 encoders take none, so false if missing.
  package var addBOS: Bool?
  /// `tokenizer.ggml.add_eos_token`; T5 encoders need it, so true if missing.
  package var addEOS: Bool?
  package var bosID: Int?
  package var eosID: Int?
  package var unknownID: Int?
  package var paddingID: Int?
  package var removeExtraWhitespaces: Bool?
  /// `tokenizer.ggml.precompiled_charsmap`, the map of characters of "t5".
  package var characterMap: [UInt8]?

  /// A vocabulary with everything optional missing.
  ///
  /// - Parameters:
  ///   - model: `tokenizer.ggml.model`.
  ///   - tokens: UTF-8 of the pieces, by id.
  ///   - scores: one score per piece.
  package init(model: String, tokens: [[UInt8]], scores: [Float]) {
    self.model = model
    self.tokens = tokens
    self.scores = scores
  }

  /// The pieces with the kinds the file gives them, or that their texts show.
  func sentencePieces() throws(TokenizerError) -> SentencePieceVocabulary {
    guard model == "llama" || isUnigram else {
      throw .unsupported(
        "a tokenizer of type \(quoted(model)) (only \"llama\" and \"t5\" are)",
        at: "tokenizer.ggml.model")
    }
    try checkCount("scores", scores.count)
    if let tokenTypes { try checkCount("token_type", tokenTypes.count) }
    var result = SentencePieceVocabulary()
    result.addsDummyPrefix = addSpacePrefix ?? true
    // What is not stated of a unigram model is as T5 and SentencePiece have it.
    result.removesExtraSpaces = removeExtraWhitespaces ?? isUnigram
    result.model = isUnigram ? .unigram : .bytePair
    if isUnigram, let characterMap { result.characterMap = characterMap }
    result.pieces.reserveCapacity(tokens.count)
    let byteNames = Set((0...255).map { Array(PieceTable.nameOfByte($0).utf8) })
    for (id, token) in tokens.enumerated() {
      let kind = try kind(id, byteNames)
      result.fallsBackToBytes = result.fallsBackToBytes || kind == .byte
      result.pieces.append(.init(text: token[...], score: scores[id], kind: kind))
    }
    return result
  }

  private var isUnigram: Bool { model == "t5" }

  /// The id that ends texts where the file does not say.
  var defaultEOS: Int { isUnigram ? 1 : 2 }

  /// The id of a special token: as stated, or where the format has it by default.
  func specialID(
    _ stated: Int?, byDefault: Int, _ name: String
  ) throws(TokenizerError) -> Int32 {
    let id = stated ?? byDefault
    guard tokens.indices.contains(id), let result = Int32(exactly: id) else {
      throw TokenizerError("\(name): the id \(id) is outside the vocabulary of \(tokens.count)")
    }
    return result
  }

  private func kind(
    _ id: Int, _ byteNames: Set<[UInt8]>
  ) throws(TokenizerError) -> SentencePieceVocabulary.Kind {
    if let tokenTypes {
      // Type 0 is "undefined", which readers treat like normal text.
      if tokenTypes[id] == 0 { return .normal }
      guard tokenTypes[id] > 0,
        let kind = SentencePieceVocabulary.Kind(rawValue: UInt64(tokenTypes[id]))
      else {
        throw TokenizerError(
          "tokenizer.ggml.token_type[\(id)]: expected 0 to 6, found \(tokenTypes[id])")
      }
      return kind
    }
    if id == unknownID ?? (isUnigram ? 2 : 0) { return .unknown }
    if id == bosID ?? (isUnigram ? 0 : 1) || id == eosID ?? defaultEOS { return .control }
    return byteNames.contains(tokens[id]) ? .byte : .normal
  }

  private func checkCount(_ key: String, _ count: Int) throws(TokenizerError) {
    guard count == tokens.count else {
      throw TokenizerError(
        "tokenizer.ggml.\(key): expected \(tokens.count) values, one per token, found \(count)")
    }
  }
}
