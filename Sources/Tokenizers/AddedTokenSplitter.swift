/// Cuts text at added tokens.
struct AddedTokenSplitter: Sendable {
  /// A stretch of text: an added token, or text for the model.
  enum Section {
    case token(Int32)
    case text(Range<Int>)
  }

  private var tokens: [Int32: AddedToken] = [:]
  /// Tokens looked for in the text as it was typed.
  private var typed = PrefixTree()
  /// Tokens looked for after normalization.
  private var normalized = PrefixTree()
  /// Ids by content.
  private var ids: PieceTable
  /// Whether special tokens that are typed literally are left to the model.
  private let leavesSpecial: Bool

  /// Gives every token its id and prepares the search.
  ///
  /// A token of the vocabulary keeps its id there. Any other gets the next free one: the ids
  /// listed in the file do not matter, just as for the reference.
  ///
  /// - Parameters:
  ///   - list: the tokens; a later one replaces an earlier one of the same content.
  ///   - vocabulary: the pieces of the model.
  ///   - normalizer: rewrites the content of normalized tokens.
  ///   - leavesSpecial: whether special tokens are not cut out.
  /// - Throws: ``TokenizerError`` if two tokens look the same once normalized.
  init(
    _ list: [AddedToken], vocabulary: PieceTable, normalizer: Normalizer?, leavesSpecial: Bool
  ) throws(TokenizerError) {
    self.leavesSpecial = leavesSpecial
    ids = PieceTable(capacity: list.count)
    var nextID = Int32(truncatingIfNeeded: vocabulary.count)
    for token in list where !token.content.isEmpty {
      let content = token.content[...]
      guard content.count <= TokenizerLimits.addedTokenLength else {
        throw TokenizerError(
          "added_tokens: \(quoted(content)) has \(content.count) bytes, at most "
            + "\(TokenizerLimits.addedTokenLength) are allowed")
      }
      let id = ids.id(of: content) ?? vocabulary.id(of: content) ?? nextID
      if ids.insert(content, id: id), id == nextID { nextID += 1 }
      tokens[id] = token
    }
    for (id, token) in tokens.sorted(by: { $0.key < $1.key }) {
      var pattern = token.content
      var startsText = true
      if token.isNormalized { normalizer?.normalize(&pattern, startsText: &startsText) }
      let isNew =
        token.isNormalized
        ? try normalized.insert(pattern, value: id) : try typed.insert(pattern, value: id)
      guard isNew else {
        throw TokenizerError(
          "added_tokens: \(quoted(token.content)) is empty or not unique once normalized")
      }
    }
  }

  /// The largest id of an added token.
  var largestID: Int32? { tokens.keys.max() }

  /// How many added tokens have ids that `vocabulary` does not use.
  func countOutside(_ vocabulary: PieceTable) -> Int {
    tokens.values.count { vocabulary.id(of: $0.content[...]) == nil }
  }

  /// The id of the added token with exactly this content.
  func id(of content: some Sequence<UInt8>) -> Int32? { ids.id(of: content) }

  /// Cuts text at the tokens that are looked for before, or after, normalization.
  func split(_ text: [UInt8], afterNormalization: Bool) -> [Section] {
    let tree = afterNormalization ? normalized : typed
    guard !text.isEmpty else { return [] }
    guard !tree.isEmpty else { return [.text(0..<text.count)] }
    var sections: [Section] = []
    var sectionStart = 0
    var index = 0
    while index < text.count {
      guard let match = tree.longestMatch(in: text[...], at: index),
        let token = tokens[match.value]
      else {
        index += 1
        continue
      }
      let found = index..<index + match.length
      // Text of a match that does not count is not searched again.
      index = found.upperBound
      guard accepts(token, at: found, in: text) else { continue }
      var start = found.lowerBound
      var end = found.upperBound
      if token.stripsLeft {
        // The previous token may have swallowed the whitespace in between.
        start = max(start, sectionStart)
        start -= UTF8Scalars.trailingWhitespace(text[sectionStart..<start])
      }
      if token.stripsRight { end += UTF8Scalars.leadingWhitespace(text[end...]) }
      if sectionStart < start { sections.append(.text(sectionStart..<start)) }
      sections.append(.token(match.value))
      sectionStart = end
    }
    if sectionStart < text.count { sections.append(.text(sectionStart..<text.count)) }
    return sections
  }

  private func accepts(_ token: AddedToken, at range: Range<Int>, in text: [UInt8]) -> Bool {
    if leavesSpecial, token.isSpecial { return false }
    guard token.isSingleWord else { return true }
    let before = UTF8Scalars.last(of: text[..<range.lowerBound])
    let after = UTF8Scalars.first(of: text[range.upperBound...])
    return !(before.map(Self.isWordCharacter) ?? false)
      && !(after.map(Self.isWordCharacter) ?? false)
  }

  /// The class `\w` of regular expressions, as Unicode Technical Standard 18 defines it.
  private static func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    if properties.isAlphabetic || properties.isJoinControl { return true }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
      return true
    default: return false
    }
  }
}
