import StrictJSON

/// The pre-tokenizer section of a tokenizer.json: marks spaces and splits text into words.
struct PreTokenizer: Sendable {
  /// Where a replacement character is put in front of text that has none.
  enum PrependScheme: String, Sendable {
    case always
    /// Only in front of the section that starts the prompt.
    case first
    case never
  }

  /// A pre-tokenizer that turns spaces into a visible character, usually U+2581.
  struct Metaspace: Sendable {
    var replacement: [UInt8]
    var prependScheme: PrependScheme
    /// Whether every replacement character starts a new word.
    var splits: Bool
  }

  /// A pre-tokenizer that cuts text by a regular expression.
  struct Split: Sendable {
    var pattern: ScalarPattern
    /// Whether matches are dropped; else they are words like what lies between.
    var removesMatches: Bool
    /// Whether what lies between counts as the match.
    var isInverted: Bool
  }

  enum Step: Sendable {
    case metaspace(Metaspace)
    /// Cuts at whitespace and drops it.
    case whitespaceSplit
    case split(Split)
    /// Spells words with the symbols of their bytes.
    case byteLevel(ByteLevel)
  }

  /// A word, or a section that is still to be cut.
  struct Word {
    var text: [UInt8]
    /// Whether it begins with the first character of the prompt.
    var startsText: Bool
  }

  private let steps: [Step]

  /// A sequence of steps.
  init(_ steps: [Step]) { self.steps = steps }

  /// Reads the section; nil is a file without pre-tokenizer.
  init(json: JSONValue?) throws(TokenizerError) {
    guard let json else {
      steps = []
      return
    }
    steps = try Self.readSteps(json, "pre_tokenizer")
    guard steps.count <= TokenizerLimits.preTokenizerSteps else {
      throw .unsupported(
        "a pre-tokenizer of \(steps.count) steps (at most \(TokenizerLimits.preTokenizerSteps) are)",
        at: "pre_tokenizer")
    }
    let byteLevels = steps.count { if case .byteLevel = $0 { true } else { false } }
    guard byteLevels <= 1 else {
      // Each makes two bytes of most bytes.
      throw .unsupported("a pre-tokenizer with \(byteLevels) byte levels", at: "pre_tokenizer")
    }
  }

  /// The words of a section of text.
  ///
  /// - Parameters:
  ///   - text: the section, not empty.
  ///   - startsText: whether it begins with the first character of the prompt.
  /// - Returns: the UTF-8 of the words, none of them empty.
  func words(_ text: [UInt8], startsText: Bool) -> [[UInt8]] {
    var words = [Word(text: text, startsText: startsText)]
    for step in steps {
      var next: [Word] = []
      next.reserveCapacity(words.count)
      for word in words { step.split(word, into: &next) }
      words = next
    }
    return words.map(\.text)
  }

  private static func readSteps(
    _ json: JSONValue, _ place: String
  ) throws(TokenizerError) -> [Step] {
    let type = try json.string("type", at: place)
    switch type {
    case "Metaspace": return [.metaspace(try Metaspace(json: json, at: place))]
    case "WhitespaceSplit": return [.whitespaceSplit]
    case "Split": return [.split(try Split(json: json, at: place))]
    case "ByteLevel": return [.byteLevel(try ByteLevel(json: json, at: place))]
    case "Sequence":
      var steps: [Step] = []
      for (index, part) in try json.array("pretokenizers", at: place).enumerated() {
        steps += try readSteps(part, "\(place).pretokenizers[\(index)]")
      }
      return steps
    default: throw .unsupported("a pre-tokenizer of type \(quoted(type))", at: place)
    }
  }
}

extension PreTokenizer.Step {
  fileprivate func split(_ word: PreTokenizer.Word, into words: inout [PreTokenizer.Word]) {
    switch self {
    case .metaspace(let metaspace): metaspace.split(word, into: &words)
    case .whitespaceSplit: word.append(Self.unspacedRanges(word.text), to: &words)
    case .split(let split): word.append(split.ranges(word.text), to: &words)
    case .byteLevel(let byteLevel): byteLevel.split(word, into: &words)
    }
  }

  /// Where the text has no whitespace.
  private static func unspacedRanges(_ text: [UInt8]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    var index = 0
    while index < text.count {
      let (scalar, length) = UTF8Scalars.scalar(of: text[...], at: index)
      if scalar.properties.isWhitespace {
        if start < index { ranges.append(start..<index) }
        start = index + length
      }
      index += length
    }
    if start < text.count { ranges.append(start..<text.count) }
    return ranges
  }
}

extension PreTokenizer.Word {
  /// Adds the parts of the word.
  func append(_ ranges: [Range<Int>], to words: inout [PreTokenizer.Word]) {
    for range in ranges {
      words.append(
        .init(text: Array(text[range]), startsText: startsText && range.lowerBound == 0))
    }
  }
}

extension PreTokenizer.Split {
  fileprivate init(json: JSONValue, at place: String) throws(TokenizerError) {
    guard let section = json.optional("pattern") else {
      throw TokenizerError("\(place).pattern: expected an object, found nothing")
    }
    guard let expression = section.optional("Regex")?.stringValue,
      let pattern = ScalarPattern(expression)
    else {
      throw .unsupported("splitting at the pattern \(section.text().prefix(60))", at: place)
    }
    self.pattern = pattern
    isInverted = try json.optionalBool("invert", at: place) ?? false
    let behavior = try json.string("behavior", at: place)
    switch behavior {
    case "Removed": removesMatches = true
    case "Isolated": removesMatches = false
    default: throw .unsupported("the behavior \(quoted(behavior))", at: "\(place).behavior")
    }
  }

  fileprivate func ranges(_ text: [UInt8]) -> [Range<Int>] {
    pattern.sections(of: text[...]).compactMap { section in
      removesMatches && section.isMatch != isInverted ? nil : section.range
    }
  }
}

extension PreTokenizer.Metaspace {
  fileprivate init(json: JSONValue, at place: String) throws(TokenizerError) {
    let character = try json.optionalString("replacement", at: place) ?? "▁"
    guard character.unicodeScalars.count == 1 else {
      throw TokenizerError(
        "\(place).replacement: expected one character, found \(quoted(character))")
    }
    replacement = Array(character.utf8)
    splits = try json.optionalBool("split", at: place) ?? true
    let declared = try json.optionalString("prepend_scheme", at: place)
    guard let scheme = PreTokenizer.PrependScheme(rawValue: declared ?? "always") else {
      throw TokenizerError(
        "\(place).prepend_scheme: expected \"always\", \"first\" or \"never\", "
          + "found \(quoted(declared ?? ""))")
    }
    prependScheme = scheme
    // The key of older files; the newer one wins nothing over a plain "no".
    if try json.optionalBool("add_prefix_space", at: place) == false {
      guard declared == nil || scheme == .never else {
        throw TokenizerError("\(place): add_prefix_space contradicts prepend_scheme")
      }
      prependScheme = .never
    }
  }

  fileprivate func split(_ word: PreTokenizer.Word, into words: inout [PreTokenizer.Word]) {
    var text = UTF8Scalars.replacing([0x20], with: replacement, in: word.text[...])
    let prepends =
      switch prependScheme {
      case .always: true
      case .first: word.startsText
      case .never: false
      }
    if prepends, !text.starts(with: replacement) { text.insert(contentsOf: replacement, at: 0) }
    guard splits else {
      words.append(.init(text: text, startsText: word.startsText))
      return
    }
    var ranges: [Range<Int>] = []
    var start = 0
    for index in text.indices.dropFirst()
    where text[index] == replacement[0] && text[index...].starts(with: replacement) {
      ranges.append(start..<index)
      start = index
    }
    ranges.append(start..<text.count)
    PreTokenizer.Word(text: text, startsText: word.startsText).append(ranges, to: &words)
  }
}
