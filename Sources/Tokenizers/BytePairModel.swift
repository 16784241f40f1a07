import StrictJSON

/// The model section of a tokenizer.json: byte-pair encoding by a ranked list of merges.
struct BytePairModel: Sendable {
  let vocabulary: PieceTable
  /// The largest id of the vocabulary.
  let largestID: Int32
  /// Rules by the ids of the left and the right symbol.
  private let merges: [UInt64: MergeRule]
  /// Ids of the byte pieces if text unknown to the vocabulary is spelled with them.
  private let byteIDs: [Int32?]?
  /// The id for text that has no other; nil drops such text.
  private let unknownID: Int32?
  /// Whether unknown text in a row gives one id only.
  private let fusesUnknown: Bool
  /// Whether a whole word of the vocabulary is taken as it is.
  private let ignoresMerges: Bool
  /// What the last character of a word has behind it in the vocabulary; often empty.
  private let endOfWord: [UInt8]

  /// How the model treats words, which its section tells or a class of transformers decides.
  struct Options {
    var unknownToken: String?
    var fusesUnknown = false
    var fallsBackToBytes = false
    var ignoresMerges = false
    var endOfWord = ""
  }

  /// Reads the model section.
  ///
  /// - Parameters:
  ///   - json: the section.
  ///   - given: what takes the place of the section's own options.
  /// - Throws: ``TokenizerError`` if the section is malformed.
  init(json: JSONValue, options given: Options?) throws(TokenizerError) {
    (vocabulary, largestID) = try Self.readVocabulary(json)
    merges = try Self.readMerges(json, vocabulary)
    let options: Options
    if let given { options = given } else { options = try Options(json: json) }
    fusesUnknown = options.fusesUnknown
    ignoresMerges = options.ignoresMerges
    endOfWord = Array(options.endOfWord.utf8)
    byteIDs = options.fallsBackToBytes ? vocabulary.byteIDs() : nil
    guard let unknown = options.unknownToken else {
      unknownID = nil
      return
    }
    unknownID = vocabulary.id(of: unknown.utf8)
    let isNeeded = byteIDs?.contains { $0 == nil } ?? true
    if unknownID == nil, isNeeded {
      throw TokenizerError("model.unk_token: \(quoted(unknown)) is not in the vocabulary")
    }
  }

  /// Appends the ids of one word.
  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
    if ignoresMerges, let id = vocabulary.id(of: word) {
      ids.append(id)
      return
    }
    var symbols = initialSymbols(word)
    var rules = Rules(merges: merges)
    symbols.mergeAll(&rules)
    var index = symbols.isEmpty ? -1 : 0
    while index >= 0 {
      ids.append(symbols[index].id)
      index = symbols[index].next
    }
  }

  private func initialSymbols(_ word: ArraySlice<UInt8>) -> [Symbol] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(word.count)
    var pendingUnknown = 0
    var index = word.startIndex
    while index < word.endIndex {
      let length = min(UTF8Scalars.length(startingWith: word[index]), word.endIndex - index)
      var scalar = word[index..<index + length]
      if index + length == word.endIndex, !endOfWord.isEmpty { scalar += endOfWord }
      if let id = vocabulary.id(of: scalar) {
        appendUnknown(&pendingUnknown, to: &symbols)
        symbols.appendLinked(id: id, start: index, length: length)
      } else if let byteIDs, scalar.allSatisfy({ byteIDs[Int($0)] != nil }) {
        // The reference lets byte pieces overtake unknown text that is still pending.
        for byte in scalar {
          symbols.appendLinked(id: byteIDs[Int(byte)] ?? 0, start: index, length: 1)
        }
      } else if unknownID != nil {
        if !fusesUnknown { appendUnknown(&pendingUnknown, to: &symbols) }
        pendingUnknown += length
      }
      index += length
    }
    appendUnknown(&pendingUnknown, to: &symbols)
    return symbols
  }

  private func appendUnknown(_ length: inout Int, to symbols: inout [Symbol]) {
    guard length > 0, let unknownID else { return }
    symbols.appendLinked(id: unknownID, start: 0, length: length)
    length = 0
  }

  private struct Rules: MergeRules {
    let merges: [UInt64: MergeRule]

    func rule(_ left: Symbol, _ right: Symbol) -> MergeRule? {
      merges[BytePairModel.pair(left.id, right.id)]
    }
  }

  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}

// MARK: Reading

extension BytePairModel.Options {
  /// Reads them from the model section.
  fileprivate init(json: JSONValue) throws(TokenizerError) {
    let place = "model"
    try Self.refuseUnsupported(json)
    fusesUnknown = try json.optionalBool("fuse_unk", at: place) ?? false
    ignoresMerges = try json.optionalBool("ignore_merges", at: place) ?? false
    fallsBackToBytes = try json.optionalBool("byte_fallback", at: place) ?? false
    endOfWord = try json.optionalString("end_of_word_suffix", at: place) ?? ""
    guard endOfWord.utf8.count <= TokenizerLimits.endOfWordLength else {
      throw .unsupported(
        "a suffix of \(endOfWord.utf8.count) bytes (at most \(TokenizerLimits.endOfWordLength) are)",
        at: "model.end_of_word_suffix")
    }
    unknownToken = try json.optionalString("unk_token", at: place)
  }

  private static func refuseUnsupported(_ json: JSONValue) throws(TokenizerError) {
    for key in ["dropout", "continuing_subword_prefix"] {
      guard let value = json.optional(key) else { continue }
      // Zero dropout and empty affixes change nothing.
      if value.doubleValue == 0 || value.stringValue?.isEmpty == true { continue }
      throw .unsupported("the value \(value.brief)", at: "model.\(key)")
    }
  }
}

extension BytePairModel {
  private static func readVocabulary(
    _ json: JSONValue
  ) throws(TokenizerError) -> (PieceTable, largestID: Int32) {
    guard let value = json.optional("vocab"), let members = value.members else {
      throw TokenizerError(
        "model.vocab: expected an object, found \(json.optional("vocab")?.brief ?? "nothing")")
    }
    var table = PieceTable(capacity: members.count)
    var seen = Set<Int32>(minimumCapacity: members.count)
    var largest: Int32 = 0
    for member in members {
      let id = try member.value.tokenID(at: "model.vocab[\(quoted(member.key))]")
      guard table.insert(Array(member.key.utf8)[...], id: id) else {
        throw TokenizerError("model.vocab: the piece \(quoted(member.key)) appears twice")
      }
      guard seen.insert(id).inserted else {
        throw TokenizerError(
          "model.vocab[\(quoted(member.key))]: the id \(id) belongs to another piece already")
      }
      largest = max(largest, id)
    }
    return (table, largest)
  }

  private static func readMerges(
    _ json: JSONValue, _ vocabulary: PieceTable
  ) throws(TokenizerError) -> [UInt64: MergeRule] {
    let list = try json.array("merges", at: "model")
    var merges: [UInt64: MergeRule] = [:]
    merges.reserveCapacity(list.count)
    var rank: UInt32 = 0
    for (index, value) in list.enumerated() {
      guard let (left, right) = try readMerge(value, "model.merges[\(index)]") else { continue }
      func id(_ piece: ArraySlice<UInt8>) throws(TokenizerError) -> Int32 {
        guard let id = vocabulary.id(of: piece) else {
          throw TokenizerError(
            "model.merges[\(index)]: \(quoted(piece)) is not in the vocabulary")
        }
        return id
      }
      let pair = pair(try id(left), try id(right))
      merges[pair] = MergeRule(rank: rank, result: try id(left + right))
      rank += 1
    }
    return merges
  }

  /// The two sides of a merge, written `"a b"` or `["a", "b"]`; nil for a version comment.
  static func readMerge(
    _ value: JSONValue, _ place: @autoclosure () -> String
  ) throws(TokenizerError) -> (ArraySlice<UInt8>, ArraySlice<UInt8>)? {
    if let text = value.stringValue {
      let bytes = Array(text.utf8)
      if bytes.starts(with: "#version".utf8) { return nil }
      if let space = bytes.firstIndex(of: 0x20), bytes.lastIndex(of: 0x20) == space {
        return (bytes[..<space], bytes[(space + 1)...])
      }
    } else if let parts = value.arrayValue, parts.count == 2,
      let left = parts[0].stringValue, let right = parts[1].stringValue
    {
      return (Array(left.utf8)[...], Array(right.utf8)[...])
    }
    throw TokenizerError("\(place()): expected two pieces, found \(value.brief)")
  }
}
