/// SentencePiece's byte-pair encoding: neighbours whose joint text is a piece merge, the piece
/// with the highest score first.
struct SentencePieceEncoder: Sendable {
  private typealias Kind = SentencePieceVocabulary.Kind

  private let table: PieceTable
  private let kinds: [Kind]
  /// Order of merging by id: the highest score has rank 0, equal scores have equal ranks.
  private let ranks: [UInt32]
  /// Pieces that are never split nor merged.
  private let userDefined: PrefixTree
  private let byteIDs: [Int32]?
  private let unknownID: Int32
  private let addsDummyPrefix: Bool
  private let hasSpaceAsSuffix: Bool
  private let removesExtraSpaces: Bool
  /// What a space becomes.
  private let space: [UInt8]

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
    self.userDefined = userDefined
    self.unknownID = unknownID
    kinds = pieces.map(\.kind)
    ranks = Self.ranks(pieces.map(\.score))
    byteIDs = vocabulary.fallsBackToBytes ? try Self.byteIDs(table) : nil
    addsDummyPrefix = vocabulary.addsDummyPrefix
    hasSpaceAsSuffix = vocabulary.hasSpaceAsSuffix
    removesExtraSpaces = vocabulary.removesExtraSpaces
    space = vocabulary.escapesSpaces ? Array("▁".utf8) : [0x20]
  }

  var count: Int { kinds.count }

  /// The id of a control piece; nil if there is none of this text.
  func controlID(_ text: [UInt8]) -> Int32? {
    guard let id = table.id(of: text[...]), kinds[Int(id)] == .control else { return nil }
    return id
  }

  /// The ids of a text, without any token for its start or end.
  func encode(_ text: [UInt8]) -> [Int32] {
    let text = normalize(text)
    var symbols: [Symbol] = []
    symbols.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let (length, isWhole) = unit(text[...], at: index)
      symbols.appendLinked(id: isWhole ? Rules.frozen : -1, start: index, length: length)
      index += length
    }
    var rules = Rules(text: text, table: table, kinds: kinds, ranks: ranks)
    symbols.mergeAll(&rules)
    var output = Output(encoder: self)
    index = symbols.isEmpty ? -1 : 0
    while index >= 0 {
      let start = symbols[index].start
      output.append(text[start..<start + symbols[index].length], rules)
      index = symbols[index].next
    }
    return output.ids
  }

  /// The length of the user-defined piece, or else of the character, at a place.
  private func unit(_ text: ArraySlice<UInt8>, at index: Int) -> (length: Int, isWhole: Bool) {
    if let match = userDefined.longestMatch(in: text, at: index) { return (match.length, true) }
    return (min(UTF8Scalars.length(startingWith: text[index]), text.endIndex - index), false)
  }

  /// The library's normalization for a model whose rule is the identity.
  private func normalize(_ text: [UInt8]) -> [UInt8] {
    var rest = text[...]
    if removesExtraSpaces {
      while let first = rest.first, first == 0x20, unit(rest, at: rest.startIndex).length == 1 {
        rest = rest.dropFirst()
      }
    }
    guard !rest.isEmpty else { return [] }
    var result: [UInt8] = []
    result.reserveCapacity(rest.count + space.count)
    if addsDummyPrefix, !hasSpaceAsSuffix { result += space }
    var followsSpace = removesExtraSpaces
    while !rest.isEmpty {
      var unit = rest.prefix(unit(rest, at: rest.startIndex).length)
      rest = rest.dropFirst(unit.count)
      if followsSpace { unit = unit.drop { $0 == 0x20 } }
      for byte in unit {
        if byte == 0x20 { result += space } else { result.append(byte) }
      }
      if let last = unit.last { followsSpace = removesExtraSpaces && last == 0x20 }
    }
    if removesExtraSpaces {
      while result.count >= space.count, result.suffix(space.count).elementsEqual(space) {
        result.removeLast(space.count)
      }
    }
    if addsDummyPrefix, hasSpaceAsSuffix { result += space }
    return result
  }

  private static func ranks(_ scores: [Float]) -> [UInt32] {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    var ranks = [UInt32](repeating: 0, count: scores.count)
    var rank: UInt32 = 0
    for (position, id) in order.enumerated() {
      if position > 0, scores[order[position - 1]] != scores[id] { rank += 1 }
      ranks[id] = rank
    }
    return ranks
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

  private struct Rules: MergeRules {
    /// The id of symbols that stay as they are.
    static let frozen: Int32 = -2

    let text: [UInt8]
    let table: PieceTable
    let kinds: [Kind]
    let ranks: [UInt32]
    /// Length of the left part of unused pieces, by id, to split them again.
    var unusedParts: [Int32: Int] = [:]

    func rule(_ left: Symbol, _ right: Symbol) -> MergeRule? {
      guard left.id != Self.frozen, right.id != Self.frozen else { return nil }
      let joint = text[left.start..<right.start + right.length]
      guard let id = table.id(of: joint) else { return nil }
      switch kinds[Int(id)] {
      case .normal, .userDefined, .unused:
        return MergeRule(rank: ranks[Int(id)], result: id)
      case .unknown, .control, .byte: return nil
      }
    }

    mutating func willQueue(_ left: Symbol, _ right: Symbol, _ rule: MergeRule) {
      if kinds[Int(rule.result)] == .unused { unusedParts[rule.result] = left.length }
    }
  }

  private struct Output {
    let encoder: SentencePieceEncoder
    var ids: [Int32] = []
    private var followsUnknown = false

    init(encoder: SentencePieceEncoder) { self.encoder = encoder }

    mutating func append(_ text: ArraySlice<UInt8>, _ rules: Rules) {
      // Unused pieces give their parts, and those may be unused in turn.
      var pending = [text]
      while let text = pending.popLast() {
        let id = encoder.table.id(of: text) ?? encoder.unknownID
        switch encoder.kinds[Int(id)] {
        case .normal, .userDefined: append(text, id: id)
        case .unused:
          guard let length = rules.unusedParts[id] else { fallthrough }
          pending.append(text.dropFirst(length))
          pending.append(text.prefix(length))
        // Control and byte pieces that happen to be typed are not themselves.
        case .unknown, .control, .byte: append(text, id: encoder.unknownID)
        }
      }
    }

    private mutating func append(_ text: ArraySlice<UInt8>, id: Int32) {
      let isUnknown = encoder.kinds[Int(id)] == .unknown
      if isUnknown, let byteIDs = encoder.byteIDs {
        ids.append(contentsOf: text.lazy.map { byteIDs[Int($0)] })
      } else if !(isUnknown && followsUnknown) {
        // Unknown text in a row gives one id.
        ids.append(id)
      }
      followsUnknown = isUnknown
    }
  }
}
