/// A regular expression of the few forms that tokenizer files use.
///
/// Alternatives, the first that matches wins: each is a row of characters and classes
/// (`\p{L}`, `\p{N}`, `\s`, `[…]`, `[^…]`), of which the last may be repeated (`+`, `{2,}`).
struct ScalarPattern: Sendable {
  /// A set of scalars.
  struct ScalarClass: Sendable {
    enum Term: Sendable {
      case letter
      case number
      case whitespace
      case scalar(Unicode.Scalar)

      func contains(_ scalar: Unicode.Scalar) -> Bool {
        switch self {
        case .letter: scalar.properties.isLetter
        case .number: scalar.properties.isNumber
        case .whitespace: scalar.properties.isWhitespace
        case .scalar(let other): scalar == other
        }
      }
    }

    private let terms: [Term]
    private let isNegated: Bool
    /// The answers for ASCII.
    private let ascii: [Bool]

    init(_ terms: [Term], isNegated: Bool = false) {
      self.terms = terms
      self.isNegated = isNegated
      ascii = (0..<128).map { value in
        terms.contains { $0.contains(Unicode.Scalar(UInt8(value))) } != isNegated
      }
    }

    func contains(_ scalar: Unicode.Scalar) -> Bool {
      if scalar.value < 128 { return ascii[Int(scalar.value)] }
      return terms.contains { $0.contains(scalar) } != isNegated
    }
  }

  struct Alternative: Sendable {
    /// One class for each scalar.
    var row: [ScalarClass] = []
    /// Whether more of the last class may follow.
    var repeats = false
  }

  private let alternatives: [Alternative]

  /// The fewest scalars of a match.
  var shortestMatch: Int { alternatives.map(\.row.count).min() ?? 1 }

  /// Reads an expression; nil if it has other forms, is too long or matches the empty text.
  init?(_ expression: String) {
    guard expression.utf8.count <= TokenizerLimits.patternLength else { return nil }
    var reader = Reader(expression)
    guard let alternatives = reader.alternatives() else { return nil }
    self.alternatives = alternatives
  }

  /// The bytes of the match at a place of a text; nil if there is none.
  func match(in text: ArraySlice<UInt8>, at start: Int) -> (length: Int, scalarCount: Int)? {
    next: for alternative in alternatives {
      var index = start
      var count = 0
      for scalarClass in alternative.row {
        guard index < text.endIndex else { continue next }
        let (scalar, length) = UTF8Scalars.scalar(of: text, at: index)
        guard scalarClass.contains(scalar) else { continue next }
        index += length
        count += 1
      }
      if alternative.repeats, let last = alternative.row.last {
        while index < text.endIndex {
          let (scalar, length) = UTF8Scalars.scalar(of: text, at: index)
          guard last.contains(scalar) else { break }
          index += length
          count += 1
        }
      }
      return (index - start, count)
    }
    return nil
  }

  /// Cuts a text into matches and what lies between, none of them empty.
  func sections(of text: ArraySlice<UInt8>) -> [(range: Range<Int>, isMatch: Bool)] {
    var sections: [(range: Range<Int>, isMatch: Bool)] = []
    var sectionStart = text.startIndex
    var index = text.startIndex
    while index < text.endIndex {
      guard let (length, _) = match(in: text, at: index) else {
        index += UTF8Scalars.scalar(of: text, at: index).length
        continue
      }
      if sectionStart < index { sections.append((sectionStart..<index, false)) }
      sections.append((index..<index + length, true))
      index += length
      sectionStart = index
    }
    if sectionStart < index { sections.append((sectionStart..<index, false)) }
    return sections
  }
}

// MARK: Reading

extension ScalarPattern {
  private struct Reader {
    private var rest: Substring.UnicodeScalarView

    init(_ expression: String) { rest = Substring(expression).unicodeScalars }

    mutating func alternatives() -> [Alternative]? {
      var result = [Alternative()]
      while let scalar = rest.popFirst() {
        if scalar == "|" {
          result.append(Alternative())
          continue
        }
        // What follows a repetition would need backtracking.
        guard !result[result.count - 1].repeats, let atom = atom(scalar) else { return nil }
        guard let (count, repeats) = quantifier() else { return nil }
        result[result.count - 1].row += Array(repeating: atom, count: count)
        result[result.count - 1].repeats = repeats
      }
      return result.allSatisfy { !$0.row.isEmpty } ? result : nil
    }

    private mutating func atom(_ scalar: Unicode.Scalar) -> ScalarClass? {
      switch scalar {
      case "[": bracketed()
      case "\\": escaped().map { ScalarClass([$0]) }
      case ".", "*", "+", "?", "(", ")", "]", "{", "}", "^", "$": nil
      default: ScalarClass([.scalar(scalar)])
      }
    }

    /// How often an atom must occur, and whether it may occur more often.
    private mutating func quantifier() -> (count: Int, repeats: Bool)? {
      switch rest.first {
      case "+":
        rest.removeFirst()
        return (1, true)
      case "{":
        guard let end = rest.firstIndex(of: "}") else { return nil }
        let text = String(rest[rest.index(after: rest.startIndex)..<end])
        guard text.hasSuffix(","), let count = Int(text.dropLast()), (1...16).contains(count) else {
          return nil
        }
        rest = rest[rest.index(after: end)...]
        return (count, true)
      default: return (1, false)
      }
    }

    private mutating func bracketed() -> ScalarClass? {
      var terms: [ScalarClass.Term] = []
      let isNegated = rest.first == "^"
      if isNegated { rest.removeFirst() }
      while let scalar = rest.popFirst() {
        switch scalar {
        case "]": return terms.isEmpty ? nil : ScalarClass(terms, isNegated: isNegated)
        case "\\":
          guard let term = escaped() else { return nil }
          terms.append(term)
        // Ranges, nested classes and intersections.
        case "-", "[", "&", "^": return nil
        default: terms.append(.scalar(scalar))
        }
      }
      return nil
    }

    /// What follows a backslash.
    private mutating func escaped() -> ScalarClass.Term? {
      guard let scalar = rest.popFirst() else { return nil }
      switch scalar {
      case "s": return .whitespace
      case "p":
        for (name, term) in [("{L}", ScalarClass.Term.letter), ("{N}", .number)]
        where rest.starts(with: name.unicodeScalars) {
          rest.removeFirst(name.unicodeScalars.count)
          return term
        }
        return nil
      default:
        let isPunctuation = scalar.isASCII && !scalar.properties.isAlphabetic
        return isPunctuation && !scalar.properties.isNumber ? .scalar(scalar) : nil
      }
    }
  }
}

extension Unicode.Scalar.Properties {
  /// The general category L.
  var isLetter: Bool {
    switch generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      isKnownToReference
    default: false
    }
  }

  /// The general category N.
  var isNumber: Bool {
    switch generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: isKnownToReference
    default: false
    }
  }

  /// Whether the regular expressions of the reference have the scalar: their tables are those of
  /// Unicode 16, and later scalars count as neither letters nor numbers.
  private var isKnownToReference: Bool { (age?.major ?? 17) <= 16 }
}
