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
    self.init(
      model: "llama", tokens: source.pieces.map { Array($0.text) },
      scores: source.pieces.map(\.score))
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
  /// Its merges are ranked; scores that fall with the rank make SentencePiece merge in that order.
  ///
  /// - Parameter json: the file.
  /// - Throws: ``TokenizerError`` if the file is malformed.
  package init?(tokenizerJSON json: JSONValue) throws(TokenizerError) {
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
        let id = table.id(of: (left + right)[...]), !isRanked[Int(id)]
      else { continue }
      isRanked[Int(id)] = true
      scores[Int(id)] = -Float(rank)
    }
    tokenTypes = types
  }
}
