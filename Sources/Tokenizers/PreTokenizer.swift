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

  private let steps: [Metaspace]

  /// The single step that transformers' LlamaTokenizer uses.
  init(llama prependScheme: PrependScheme) {
    steps = [
      Metaspace(replacement: Array("▁".utf8), prependScheme: prependScheme, splits: false)
    ]
  }

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
  }

  /// The words of a section of text.
  ///
  /// - Parameters:
  ///   - text: the section, not empty.
  ///   - startsText: whether it begins with the first character of the prompt.
  /// - Returns: the UTF-8 of the words, none of them empty.
  func words(_ text: [UInt8], startsText: Bool) -> [[UInt8]] {
    var words = [text]
    for step in steps {
      var next: [[UInt8]] = []
      for (index, word) in words.enumerated() {
        step.split(word, startsText: startsText && index == 0, into: &next)
      }
      words = next
    }
    return words
  }

  private static func readSteps(
    _ json: JSONValue, _ place: String
  ) throws(TokenizerError) -> [Metaspace] {
    let type = try json.string("type", at: place)
    switch type {
    case "Metaspace": return [try Metaspace(json: json, at: place)]
    case "Sequence":
      var steps: [Metaspace] = []
      for (index, part) in try json.array("pretokenizers", at: place).enumerated() {
        steps += try readSteps(part, "\(place).pretokenizers[\(index)]")
      }
      return steps
    default: throw .unsupported("a pre-tokenizer of type \(quoted(type))", at: place)
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

  fileprivate func split(_ word: [UInt8], startsText: Bool, into words: inout [[UInt8]]) {
    var text = UTF8Scalars.replacing([0x20], with: replacement, in: word[...])
    let prepends =
      switch prependScheme {
      case .always: true
      case .first: startsText
      case .never: false
      }
    if prepends, !text.starts(with: replacement) { text.insert(contentsOf: replacement, at: 0) }
    guard splits else {
      words.append(text)
      return
    }
    var start = 0
    var index = 1
    while index < text.count {
      if text[index...].starts(with: replacement) {
        words.append(Array(text[start..<index]))
        start = index
      }
      index += 1
    }
    words.append(Array(text[start...]))
  }
}
