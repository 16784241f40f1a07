/// SentencePiece's byte-pair encoding: neighbours whose joint text is a piece merge, the piece
/// with the highest score first.
struct SentencePieceMerging: Sendable {
  /// Order of merging by id: the highest score has rank 0, equal scores have equal ranks.
  private let ranks: [UInt32]

  /// Ranks the pieces.
  init(scores: [Float]) {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    var ranks = [UInt32](repeating: 0, count: scores.count)
    var rank: UInt32 = 0
    for (position, id) in order.enumerated() {
      if position > 0, scores[order[position - 1]] != scores[id] { rank += 1 }
      ranks[id] = rank
    }
    self.ranks = ranks
  }

  /// The pieces of a text, from left to right.
  ///
  /// - Parameters:
  ///   - text: normalized text.
  ///   - table: ids of the pieces.
  ///   - kinds: kinds of the pieces by id.
  ///   - unit: length of what is never split at a place, and whether it never merges either.
  /// - Returns: the id of each piece with its text; nil where the text is no piece.
  func pieces(
    of text: [UInt8], table: PieceTable, kinds: [SentencePieceVocabulary.Kind],
    unit: (Int) -> (length: Int, isUserDefined: Bool)
  ) -> [(id: Int32?, text: ArraySlice<UInt8>)] {
    var symbols: [Symbol] = []
    symbols.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let (length, isWhole) = unit(index)
      symbols.appendLinked(id: isWhole ? Rules.frozen : -1, start: index, length: length)
      index += length
    }
    var rules = Rules(text: text, table: table, kinds: kinds, ranks: ranks)
    symbols.mergeAll(&rules)
    var result: [(id: Int32?, text: ArraySlice<UInt8>)] = []
    index = symbols.isEmpty ? -1 : 0
    while index >= 0 {
      let start = symbols[index].start
      rules.split(text[start..<start + symbols[index].length], into: &result)
      index = symbols[index].next
    }
    return result
  }

  private struct Rules: MergeRules {
    /// The id of symbols that stay as they are.
    static let frozen: Int32 = -2

    let text: [UInt8]
    let table: PieceTable
    let kinds: [SentencePieceVocabulary.Kind]
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

    /// Unused pieces give their parts, and those may be unused in turn.
    func split(
      _ text: ArraySlice<UInt8>, into result: inout [(id: Int32?, text: ArraySlice<UInt8>)]
    ) {
      var pending = [text]
      while let text = pending.popLast() {
        let id = table.id(of: text)
        if let id, kinds[Int(id)] == .unused, let length = unusedParts[id] {
          pending.append(text.dropFirst(length))
          pending.append(text.prefix(length))
        } else {
          result.append((id, text))
        }
      }
    }
  }
}
