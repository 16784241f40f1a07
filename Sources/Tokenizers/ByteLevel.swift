import StrictJSON

extension PreTokenizer {
  /// A pre-tokenizer that cuts text as GPT-2 does, and spells words with symbols of their bytes.
  struct ByteLevel: Sendable {
    /// Whether a space is put in front of text that has none.
    var addsPrefixSpace = false
    /// Whether the text is cut; else it is only spelled.
    var splits = true

    /// The settings that files have without saying so.
    init() {}

    init(json: JSONValue, at place: String) throws(TokenizerError) {
      addsPrefixSpace = try json.optionalBool("add_prefix_space", at: place) ?? true
      splits = try json.optionalBool("use_regex", at: place) ?? true
    }

    func split(_ word: Word, into words: inout [Word]) {
      var word = word
      if addsPrefixSpace, word.text.first != 0x20 { word.text.insert(0x20, at: 0) }
      var parts: [Word] = []
      word.append(splits ? Self.ranges(word.text) : [0..<word.text.count], to: &parts)
      for part in parts {
        words.append(Word(text: ByteSymbols.spelled(part.text), startsText: part.startsText))
      }
    }

    /// The matches of `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
    /// which leave nothing out.
    private static func ranges(_ text: [UInt8]) -> [Range<Int>] {
      var ranges: [Range<Int>] = []
      var index = 0
      while index < text.count {
        let length = contraction(text[index...]) ?? run(text[...], at: index)
        ranges.append(index..<index + length)
        index += length
      }
      return ranges
    }

    private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]
      .map { Array($0.utf8) }

    private static func contraction(_ text: ArraySlice<UInt8>) -> Int? {
      guard text.first == UInt8(ascii: "'") else { return nil }
      return contractions.first { text.starts(with: $0) }?.count
    }

    private enum Kind {
      case letter
      case number
      case whitespace
      case other

      init(_ scalar: Unicode.Scalar) {
        let properties = scalar.properties
        self =
          properties.isLetter
          ? .letter : properties.isNumber ? .number : properties.isWhitespace ? .whitespace : .other
      }
    }

    /// Scalars of one kind in a row, with the space in front of them.
    private static func run(_ text: ArraySlice<UInt8>, at start: Int) -> Int {
      var index = start
      if text[index] == 0x20, index + 1 < text.endIndex,
        Kind(UTF8Scalars.scalar(of: text, at: index + 1).scalar) != .whitespace
      {
        index += 1
      }
      let kind = Kind(UTF8Scalars.scalar(of: text, at: index).scalar)
      var last = index
      while index < text.endIndex {
        let (scalar, length) = UTF8Scalars.scalar(of: text, at: index)
        guard Kind(scalar) == kind else {
          // The last space of many belongs to the word behind them.
          return (kind == .whitespace && last > start ? last : index) - start
        }
        last = index
        index += length
      }
      return index - start
    }
  }
}
