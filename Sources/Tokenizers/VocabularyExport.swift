import StrictJSON

/// Vocabularies of other files as the lists that llama.cpp reads (`tokenizer.ggml.*`).
extension GGUFVocabulary {
  /// Most ids of a vocabulary; those of text encoders have up to 262,144.
  private static let maximumCount = 1 << 20

  /// Reads a SentencePiece model.
  ///
  /// - Parameter bytes: the content of tokenizer.model.
  /// - Throws: ``TokenizerError`` if the file is malformed, or asks for something that the lists
  ///   cannot say.
  package init(sentencePieceModel bytes: [UInt8]) throws(TokenizerError) {
    let source = try SentencePieceVocabulary(modelFile: bytes)
    guard !source.hasSpaceAsSuffix, source.escapesSpaces else {
      throw .unsupported(
        "a SentencePiece model with spaces as suffixes or unescaped", at: "normalizer_spec")
    }
    guard source.model == .unigram || source.characterMap.isEmpty else {
      throw .unsupported(
        "a map of characters before byte-pair encoding", at: "normalizer_spec.precompiled_charsmap")
    }
    self.init(
      model: source.model == .unigram ? "t5" : "llama",
      tokens: source.pieces.map { Array($0.text) }, scores: source.pieces.map(\.score))
    if source.model == .unigram {
      if !source.characterMap.isEmpty {
        _ = try CharacterMap(source.characterMap, at: "normalizer_spec.precompiled_charsmap")
        characterMap = source.characterMap
      }
      paddingID = source.pieces.firstIndex {
        $0.kind == .control && $0.text.elementsEqual(source.padding)
      }
    }
    tokenTypes = source.pieces.map { Int32(truncatingIfNeeded: $0.kind.rawValue) }
    addSpacePrefix = source.addsDummyPrefix
    removeExtraWhitespaces = source.removesExtraSpaces
    addBOS = false
    unknownID = source.pieces.firstIndex { $0.kind == .unknown }
    eosID = source.pieces.firstIndex {
      $0.kind == .control && $0.text.elementsEqual(source.endOfSequence)
    }
    addEOS = eosID != nil
    bosID = source.pieces.firstIndex { $0.kind == .control && $0.text.elementsEqual("<s>".utf8) }
  }

  /// Reads a tokenizer.json that was made from a SentencePiece model; nil for other kinds.
  ///
  /// Merges are ranked; scores that fall with the rank make SentencePiece merge in that order.
  /// A unigram model has its scores already.
  ///
  /// - Parameter json: the file.
  /// - Throws: ``TokenizerError`` if the file is malformed.
  package init?(tokenizerJSON json: JSONValue) throws(TokenizerError) {
    if try TokenizerJSONPipeline.modelType(json) == "Unigram" {
      try self.init(unigramJSON: json)
      return
    }
    guard let model = json.optional("model"), let members = model.optional("vocab")?.members else {
      return nil
    }
    var pieces: [(id: Int32, text: [UInt8])] = []
    var table = PieceTable(capacity: members.count)
    for member in members {
      let id = try member.value.tokenID(at: "model.vocab[\(quoted(member.key))]")
      let text = Array(member.key.utf8)
      if table.insert(text[...], id: id) { pieces.append((id, text)) }
    }
    // Others stand for spaces in their own way.
    let space = Array("▁".utf8)
    guard pieces.contains(where: { $0.text.starts(with: space) }) else { return nil }
    let added = try AddedToken.list(tokenizerJSON: json)
    let largest = max(pieces.map(\.id).max() ?? 0, added.map(\.listedID).max() ?? 0)
    guard largest < Self.maximumCount else {
      throw TokenizerError("the id \(largest) is beyond \(Self.maximumCount)")
    }
    self.init(
      model: "llama", tokens: (0...Int(largest)).map { Array("[PAD\($0)]".utf8) },
      scores: Array(repeating: -10_000, count: Int(largest) + 1))
    try fill(pieces, added, merges: try model.array("merges", at: "model"), table)
    let unknown = try model.optionalString("unk_token", at: "model") ?? "<unk>"
    unknownID = table.id(of: unknown.utf8).map(Int.init)
    if let unknownID { tokenTypes?[unknownID] = Self.type(.unknown) }
    bosID = table.id(of: "<s>".utf8).map(Int.init)
    eosID = table.id(of: "</s>".utf8).map(Int.init)
    addSpacePrefix = true
    removeExtraWhitespaces = false
    addBOS = false
    addEOS = eosID != nil
  }

  private static func type(_ kind: SentencePieceVocabulary.Kind) -> Int32 {
    Int32(truncatingIfNeeded: kind.rawValue)
  }

  /// Fills in texts, scores and kinds.
  private mutating func fill(
    _ pieces: [(id: Int32, text: [UInt8])], _ added: [(listedID: Int32, token: AddedToken)],
    merges: [JSONValue], _ table: PieceTable
  ) throws(TokenizerError) {
    var types = [Int32](repeating: Self.type(.unused), count: tokens.count)
    let byteIDs = Set(table.byteIDs().compactMap { $0 })
    for (id, text) in pieces {
      tokens[Int(id)] = text
      scores[Int(id)] = 0
      types[Int(id)] = Self.type(byteIDs.contains(id) ? .byte : .normal)
    }
    for (id, token) in added {
      tokens[Int(id)] = token.content
      scores[Int(id)] = 0
      types[Int(id)] = Self.type(token.isSpecial ? .control : .userDefined)
    }
    var isRanked = [Bool](repeating: false, count: tokens.count)
    for (rank, value) in merges.enumerated() {
      guard let (left, right) = try BytePairModel.readMerge(value, "model.merges[\(rank)]"),
        let id = table.id(of: left + right), !isRanked[Int(id)]
      else { continue }
      isRanked[Int(id)] = true
      scores[Int(id)] = -Float(rank)
    }
    tokenTypes = types
  }

  // MARK: Unigram models

  private init(unigramJSON json: JSONValue) throws(TokenizerError) {
    let model = json.optional("model") ?? .null
    let pieces = try UnigramModel.pieces(model)
    guard pieces.count <= Self.maximumCount else {
      throw TokenizerError("the id \(pieces.count - 1) is beyond \(Self.maximumCount)")
    }
    self.init(
      model: "t5", tokens: pieces.map(\.text), scores: pieces.map { Float($0.score) })
    var types = [Int32](repeating: Self.type(.normal), count: tokens.count)
    var ids = PieceTable(capacity: tokens.count)
    for (id, token) in tokens.enumerated() {
      _ = ids.insert(token[...], id: Int32(truncatingIfNeeded: id))
    }
    for id in try model.optionalBool("byte_fallback", at: "model") == true ? ids.byteIDs() : [] {
      if let id { types[Int(id)] = Self.type(.byte) }
    }
    for (_, token) in try AddedToken.list(tokenizerJSON: json) {
      // Those beyond the vocabulary cannot be told apart from filling.
      guard let id = ids.id(of: token.content) else { continue }
      types[Int(id)] = Self.type(token.isSpecial ? .control : .userDefined)
    }
    if let value = model.optional("unk_id") {
      let id = Int(try value.tokenID(at: "model.unk_id"))
      if types.indices.contains(id) {
        types[id] = Self.type(.unknown)
        unknownID = id
      }
    }
    tokenTypes = types
    eosID = ids.id(of: "</s>".utf8).map(Int.init)
    paddingID = ids.id(of: "<pad>".utf8).map(Int.init)
    addSpacePrefix = true
    removeExtraWhitespaces = true
    addBOS = false
    addEOS = eosID != nil
    let section = json.optional("normalizer")
    let steps = section?.optional("normalizers")?.arrayValue ?? [section].compactMap { $0 }
    for step in steps where step.optional("type")?.stringValue == "Precompiled" {
      characterMap = try Normalizer.mapBytes(step, "normalizer")
    }
  }
}
