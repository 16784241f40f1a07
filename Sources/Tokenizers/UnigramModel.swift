import StrictJSON

/// The model section of a tokenizer.json: the most probable sequence of pieces.
struct UnigramModel: Sendable {
  let vocabulary: PieceTable
  private let search: UnigramSearch
  /// Ids of the byte pieces if text unknown to the vocabulary is spelled with them.
  private let byteIDs: [Int32?]?
  private let unknownID: Int32

  /// The unknown piece of T5's vocabularies.
  private static let unknownOfT5: Int32 = 2

  /// Reads the model section.
  ///
  /// - Parameters:
  ///   - json: the section.
  ///   - asT5: take only the pieces, and the settings that transformers' T5Tokenizer gives the
  ///     model.
  /// - Throws: ``TokenizerError`` if the section is malformed, or names no unknown piece.
  init(json: JSONValue, asT5: Bool) throws(TokenizerError) {
    let pieces = try Self.pieces(json)
    if asT5 {
      unknownID = Self.unknownOfT5
    } else {
      guard let unknown = json.optional("unk_id") else {
        throw TokenizerError("model.unk_id: expected an id, found nothing")
      }
      unknownID = try unknown.tokenID(at: "model.unk_id")
    }
    guard unknownID < pieces.count else {
      throw TokenizerError(
        "model.unk_id: the id \(unknownID) is outside the vocabulary of \(pieces.count)")
    }
    var vocabulary = PieceTable(capacity: pieces.count)
    // Special tokens are pieces like others here; a text has them only where none is cut out.
    var search = UnigramSearch(
      lowestScore: pieces.lazy.map(\.score).min() ?? 0, count: pieces.count, precision: .double)
    for (index, piece) in pieces.enumerated() {
      let id = Int32(truncatingIfNeeded: index)
      guard vocabulary.insert(piece.text[...], id: id),
        try search.insert(piece.text, id: id, score: piece.score)
      else {
        throw TokenizerError(
          "model.vocab[\(index)]: the piece \(quoted(piece.text)) is empty or appears twice")
      }
    }
    self.vocabulary = vocabulary
    self.search = search
    let fallsBackToBytes = try json.optionalBool("byte_fallback", at: "model") ?? false
    byteIDs = fallsBackToBytes && !asT5 ? vocabulary.byteIDs() : nil
  }

  /// The pieces with their log probabilities, by id.
  static func pieces(
    _ json: JSONValue
  ) throws(TokenizerError) -> [(text: [UInt8], score: Double)] {
    let list = try json.array("vocab", at: "model")
    guard !list.isEmpty, Int32(exactly: list.count) != nil else {
      throw TokenizerError("model.vocab: expected pieces, found \(list.count)")
    }
    var pieces: [(text: [UInt8], score: Double)] = []
    pieces.reserveCapacity(list.count)
    for (index, value) in list.enumerated() {
      guard case .array(let pair) = value, pair.count == 2, let text = pair[0].stringValue,
        let score = pair[1].doubleValue, score.isFinite
      else {
        throw TokenizerError(
          "model.vocab[\(index)]: expected a piece and its score, found \(value.brief)")
      }
      pieces.append((Array(text.utf8), score))
    }
    return pieces
  }

  /// Appends the ids of one word.
  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
    var unknownStart: Int?
    for segment in search.segments(of: word) {
      if let id = segment.id, id != unknownID {
        if let start = unknownStart {
          appendUnknown(word[start..<segment.range.lowerBound], to: &ids)
          unknownStart = nil
        }
        ids.append(id)
      } else if unknownStart == nil {
        unknownStart = segment.range.lowerBound
      }
    }
    if let unknownStart { appendUnknown(word[unknownStart...], to: &ids) }
  }

  /// Unknown text in a row gives one id, or those of its bytes.
  private func appendUnknown(_ text: ArraySlice<UInt8>, to ids: inout [Int32]) {
    if let id = vocabulary.id(of: text) {
      ids.append(id)
    } else if let byteIDs, text.allSatisfy({ byteIDs[Int($0)] != nil }) {
      ids.append(contentsOf: text.lazy.compactMap { byteIDs[Int($0)] })
    } else {
      ids.append(unknownID)
    }
  }
}
