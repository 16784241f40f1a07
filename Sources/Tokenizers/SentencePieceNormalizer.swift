/// What SentencePiece makes of a text before it looks for pieces: characters rewritten, spaces
/// collapsed and marked.
struct SentencePieceNormalizer: Sendable {
  /// Pieces that are never rewritten, split or merged.
  let userDefined: PrefixTree
  private let characterMap: CharacterMap?
  private let addsDummyPrefix: Bool
  private let hasSpaceAsSuffix: Bool
  private let removesExtraSpaces: Bool
  /// What a space becomes.
  private let space: [UInt8]

  /// Takes the settings of a vocabulary.
  ///
  /// - Parameters:
  ///   - vocabulary: the settings.
  ///   - userDefined: its user-defined pieces.
  /// - Throws: ``TokenizerError`` if the map of characters is malformed.
  init(
    _ vocabulary: SentencePieceVocabulary, userDefined: PrefixTree
  ) throws(TokenizerError) {
    self.userDefined = userDefined
    characterMap =
      vocabulary.characterMap.isEmpty
      ? nil : try CharacterMap(vocabulary.characterMap, at: "precompiled_charsmap")
    addsDummyPrefix = vocabulary.addsDummyPrefix
    hasSpaceAsSuffix = vocabulary.hasSpaceAsSuffix
    removesExtraSpaces = vocabulary.removesExtraSpaces
    space = vocabulary.escapesSpaces ? Array("▁".utf8) : [0x20]
  }

  /// The length of the user-defined piece, or else of the character, at a place.
  func unit(_ text: [UInt8], at index: Int) -> (length: Int, isUserDefined: Bool) {
    if let match = userDefined.longestMatch(in: text[...], at: index) {
      return (match.length, true)
    }
    return (min(UTF8Scalars.length(startingWith: text[index]), text.count - index), false)
  }

  /// The next unit with what it is rewritten to.
  private func rewrittenUnit(
    _ text: [UInt8], at index: Int
  ) -> (length: Int, output: ArraySlice<UInt8>) {
    let (length, isUserDefined) = unit(text, at: index)
    if !isUserDefined, let match = characterMap?.longestMatch(in: text, at: index) {
      return (match.length, match.replacement)
    }
    return (length, text[index..<index + length])
  }

  /// The normalized form of a text; empty for an empty one.
  func normalize(_ text: [UInt8]) -> [UInt8] {
    var index = 0
    if removesExtraSpaces {
      while index < text.count {
        let (length, output) = rewrittenUnit(text, at: index)
        guard output.count == 1, output.first == 0x20 else { break }
        index += length
      }
    }
    guard index < text.count else { return [] }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + space.count)
    if addsDummyPrefix, !hasSpaceAsSuffix { result += space }
    var followsSpace = removesExtraSpaces
    while index < text.count {
      var (length, output) = rewrittenUnit(text, at: index)
      index += length
      if followsSpace { output = output.drop { $0 == 0x20 } }
      for byte in output {
        if byte == 0x20 { result += space } else { result.append(byte) }
      }
      if let last = output.last { followsSpace = removesExtraSpaces && last == 0x20 }
    }
    if removesExtraSpaces {
      while result.count >= space.count, result.suffix(space.count).elementsEqual(space) {
        result.removeLast(space.count)
      }
    }
    if addsDummyPrefix, hasSpaceAsSuffix { result += space }
    return result
  }
}
