/// A SentencePiece model: texts to the ids of pieces.
struct SentencePieceEncoder: Sendable {
  private typealias Kind = SentencePieceVocabulary.Kind

  private enum Model {
    case unigram(UnigramSearch)
    case bytePair(SentencePieceMerging)
  }

  private let table: PieceTable
  private let kinds: [Kind]
  private let normalizer: SentencePieceNormalizer
  private let model: Model
  private let byteIDs: [Int32]?
  private let unknownID: Int32

  /// Checks the vocabulary and prepares the search.
  init(_ vocabulary: SentencePieceVocabulary) throws(TokenizerError) {
    let pieces = vocabulary.pieces
    guard !pieces.isEmpty, Int32(exactly: pieces.count) != nil else {
      throw TokenizerError("expected a vocabulary, found \(pieces.count) pieces")
    }
    var table = PieceTable(capacity: pieces.count)
    var userDefined = PrefixTree()
    var unknownID: Int32?
    for (index, piece) in pieces.enumerated() {
      let id = Int32(truncatingIfNeeded: index)
      guard !piece.text.isEmpty, !piece.score.isNaN else {
        throw TokenizerError("pieces[\(index)]: the text is empty or the score is not a number")
      }
      guard table.insert(piece.text, id: id) else {
        throw TokenizerError("pieces[\(index)]: \(quoted(piece.text)) appears twice")
      }
      if piece.kind == .userDefined { _ = try userDefined.insert(piece.text, value: id) }
      if piece.kind == .unknown {
        if let unknownID {
          throw TokenizerError("pieces[\(index)]: piece \(unknownID) is the unknown piece already")
        }
        unknownID = id
      }
    }
    guard let unknownID else { throw TokenizerError("pieces: there is no unknown piece") }
    self.table = table
    self.unknownID = unknownID
    kinds = pieces.map(\.kind)
    switch vocabulary.model {
    case .unigram: model = .unigram(try Self.search(pieces))
    case .bytePair: model = .bytePair(SentencePieceMerging(scores: pieces.map(\.score)))
    }
    byteIDs = vocabulary.fallsBackToBytes ? try Self.byteIDs(table) : nil
    normalizer = try SentencePieceNormalizer(vocabulary, userDefined: userDefined)
  }

  var count: Int { kinds.count }

  /// The id of a control piece; nil if there is none of this text.
  func controlID(_ text: [UInt8]) -> Int32? {
    guard let id = table.id(of: text[...]), kinds[Int(id)] == .control else { return nil }
    return id
  }

  /// The ids of a text, without any token for its start or end.
  func encode(_ text: [UInt8]) -> [Int32] {
    let text = normalizer.normalize(text)
    var output = Output(encoder: self)
    switch model {
    case .unigram(let search):
      for segment in search.segments(of: text[...]) {
        output.append(text[segment.range], id: segment.id ?? unknownID)
      }
    case .bytePair(let merging):
      let pieces = merging.pieces(of: text, table: table, kinds: kinds) {
        normalizer.unit(text, at: $0)
      }
      for piece in pieces { output.append(piece.text, id: piece.id ?? unknownID) }
    }
    return output.ids
  }

  /// The search over the pieces that a text may be made of.
  private static func search(
    _ pieces: [SentencePieceVocabulary.Piece]
  ) throws(TokenizerError) -> UnigramSearch {
    let scores = pieces.lazy.filter { $0.kind == .normal }.map(\.score)
    // The library starts from these two, and so has them where there are no scores.
    let lowest = scores.min() ?? .greatestFiniteMagnitude
    let highest = max(scores.max() ?? 0, .leastNormalMagnitude)
    var search = UnigramSearch(
      lowestScore: Double(lowest), count: pieces.count, precision: .single)
    for (id, piece) in pieces.enumerated() {
      let score: Double
      switch piece.kind {
      case .normal: score = Double(piece.score)
      // A bonus with which it is always chosen.
      case .userDefined: score = Double(Float(piece.text.count) * highest) - 0.1
      case .unknown, .control, .unused, .byte: continue
      }
      _ = try search.insert(piece.text, id: Int32(truncatingIfNeeded: id), score: score)
    }
    return search
  }

  private static func byteIDs(_ table: PieceTable) throws(TokenizerError) -> [Int32] {
    var ids: [Int32] = []
    for (byte, id) in table.byteIDs().enumerated() {
      guard let id else {
        throw TokenizerError("pieces: the byte piece \(PieceTable.nameOfByte(byte)) is missing")
      }
      ids.append(id)
    }
    return ids
  }

  private struct Output {
    let encoder: SentencePieceEncoder
    var ids: [Int32] = []
    private var followsUnknown = false

    init(encoder: SentencePieceEncoder) { self.encoder = encoder }

    mutating func append(_ text: ArraySlice<UInt8>, id: Int32) {
      let isUnknown =
        switch encoder.kinds[Int(id)] {
        case .normal, .userDefined: false
        // Control, unused and byte pieces that happen to be typed are not themselves.
        case .unknown, .control, .unused, .byte: true
        }
      if isUnknown, let byteIDs = encoder.byteIDs {
        ids.append(contentsOf: text.lazy.map { byteIDs[Int($0)] })
      } else if !(isUnknown && followsUnknown) {
        // Unknown text in a row gives one id.
        ids.append(isUnknown ? encoder.unknownID : id)
      }
      followsUnknown = isUnknown
    }
  }
}
