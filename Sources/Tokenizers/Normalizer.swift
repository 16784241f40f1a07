import Foundation
import StrictJSON

/// The normalizer section of a tokenizer.json: how text is rewritten before it is split.
enum Normalizer: Sendable {
  case prepend([UInt8])
  /// The pattern is not empty.
  case replace([UInt8], with: [UInt8])
  case replaceMatches(ScalarPattern, with: [UInt8])
  /// SentencePiece's map of characters.
  case characterMap(CharacterMap)
  case composed(compatibility: Bool)
  case decomposed(compatibility: Bool)
  case lowercase
  case strip(left: Bool, right: Bool)
  case sequence([Normalizer])

  /// Reads the section.
  init(json: JSONValue, at place: String) throws(TokenizerError) {
    let type = try json.string("type", at: place)
    switch type {
    case "Prepend": self = .prepend(Array(try json.string("prepend", at: place).utf8))
    case "Replace": self = try Self.readReplace(json, place)
    case "NFC": self = .composed(compatibility: false)
    case "NFKC": self = .composed(compatibility: true)
    case "NFD": self = .decomposed(compatibility: false)
    case "NFKD": self = .decomposed(compatibility: true)
    case "Lowercase": self = .lowercase
    case "Precompiled": self = .characterMap(try Self.readCharacterMap(json, place))
    case "Strip":
      self = .strip(
        left: try json.optionalBool("strip_left", at: place) ?? true,
        right: try json.optionalBool("strip_right", at: place) ?? true)
    case "Sequence":
      var parts: [Normalizer] = []
      for (index, part) in try json.array("normalizers", at: place).enumerated() {
        parts.append(try Normalizer(json: part, at: "\(place).normalizers[\(index)]"))
      }
      self = .sequence(parts)
    default: throw .unsupported("a normalizer of type \(quoted(type))", at: place)
    }
  }

  /// Refuses steps that would make too much of a text.
  func checkGrowth(at place: String) throws(TokenizerError) {
    var growth = Growth()
    growth.add(self)
    guard growth.steps <= TokenizerLimits.normalizerSteps else {
      throw .unsupported(
        "a normalizer of \(growth.steps) steps (at most \(TokenizerLimits.normalizerSteps) are)",
        at: place)
    }
    guard growth.factor <= TokenizerLimits.growth,
      growth.prepended <= TokenizerLimits.prependedBytes
    else {
      throw .unsupported(
        "a normalizer that may make more than \(Int(TokenizerLimits.growth)) bytes of one",
        at: place)
    }
  }

  /// The most bytes that come of a text: `factor` of each, and those that are put in front.
  private struct Growth {
    var steps = 0
    var factor = 1.0
    var prepended = 0.0

    mutating func add(_ step: Normalizer) {
      steps += 1
      switch step {
      case .prepend(let prefix): prepended += Double(prefix.count)
      case .replace(let pattern, let content):
        multiply(max(1, Double(content.count) / Double(pattern.count)))
      case .replaceMatches(let pattern, let content):
        multiply(max(1, Double(content.count) / Double(pattern.shortestMatch)))
      case .characterMap(let map): multiply(max(1, Double(map.longestReplacement)))
      // 3 bytes of U+FDFA become 33; the longest canonical decomposition triples.
      case .composed(let compatibility), .decomposed(let compatibility):
        multiply(compatibility ? 11 : 3)
      case .lowercase: multiply(1.5)
      case .strip: break
      case .sequence(let parts):
        steps -= 1
        for part in parts { add(part) }
      }
    }

    private mutating func multiply(_ ratio: Double) {
      factor *= ratio
      prepended *= ratio
    }
  }

  /// Rewrites a section of text.
  ///
  /// - Parameters:
  ///   - text: the section, valid UTF-8 before and after.
  ///   - startsText: whether the section still begins with the first character of the prompt;
  ///     set to false where that character is removed. The reference follows every character
  ///     through every step; that matters only if one is removed that was inserted before.
  func normalize(_ text: inout [UInt8], startsText: inout Bool) {
    switch self {
    case .prepend(let prefix):
      if !text.isEmpty { text.insert(contentsOf: prefix, at: 0) }
    case .replace(let pattern, let content):
      // The reference takes the content for a successor of the last character replaced.
      let replacesOne = pattern.count == UTF8Scalars.length(startingWith: pattern[0])
      if content.isEmpty || !replacesOne, text.starts(with: pattern) { startsText = false }
      text = UTF8Scalars.replacing(pattern, with: content, in: text[...])
    case .replaceMatches(let pattern, let content):
      replaceMatches(of: pattern, with: content, in: &text, &startsText)
    // The reference counts what takes the place of the first character as the first.
    case .characterMap(let map): text = map.rewritten(text)
    case .composed(let compatibility):
      rewrite(&text) { UnicodeNormalization.composed($0, compatibility: compatibility) }
    case .decomposed(let compatibility):
      rewrite(&text) { UnicodeNormalization.decomposed($0, compatibility: compatibility) }
    case .lowercase:
      if text.allSatisfy({ $0 < 0x80 }) {
        for index in text.indices where (0x41...0x5A).contains(text[index]) { text[index] |= 0x20 }
        return
      }
      // Scalar by scalar, as the reference does: no final sigma and no locale.
      rewrite(&text) { $0.unicodeScalars.map(\.properties.lowercaseMapping).joined() }
    case .strip(let left, let right):
      if left {
        let count = UTF8Scalars.leadingWhitespace(text[...])
        if count > 0 { startsText = false }
        text.removeFirst(count)
      }
      if right { text.removeLast(UTF8Scalars.trailingWhitespace(text[...])) }
    case .sequence(let parts):
      for part in parts { part.normalize(&text, startsText: &startsText) }
    }
  }

  private func replaceMatches(
    of pattern: ScalarPattern, with content: [UInt8], in text: inout [UInt8],
    _ startsText: inout Bool
  ) {
    let sections = pattern.sections(of: text[...])
    guard sections.contains(where: \.isMatch) else { return }
    if let match = pattern.match(in: text[...], at: 0), content.isEmpty || match.scalarCount > 1 {
      startsText = false
    }
    text = sections.flatMap { $0.isMatch ? content[...] : text[$0.range] }
  }

  private func rewrite(_ text: inout [UInt8], _ body: (String) -> String) {
    text = Array(body(String(decoding: text, as: UTF8.self)).utf8)
  }

  private static func readReplace(
    _ json: JSONValue, _ place: String
  ) throws(TokenizerError) -> Normalizer {
    guard let pattern = json.optional("pattern") else {
      throw TokenizerError("\(place).pattern: expected an object, found nothing")
    }
    let content = Array(try json.string("content", at: place).utf8)
    if let text = try pattern.optionalString("String", at: "\(place).pattern"), !text.isEmpty {
      return .replace(Array(text.utf8), with: content)
    }
    // A regular expression without any operator is plain text.
    if let text = try pattern.optionalString("Regex", at: "\(place).pattern"), !text.isEmpty,
      text.utf8.allSatisfy({ !"\\.+*?()|[]{}^$#&-~".utf8.contains($0) })
    {
      return .replace(Array(text.utf8), with: content)
    }
    if let text = pattern.optional("Regex")?.stringValue, let matches = ScalarPattern(text) {
      return .replaceMatches(matches, with: content)
    }
    throw .unsupported("replacing the pattern \(pattern.text().prefix(60))", at: place)
  }

  private static func readCharacterMap(
    _ json: JSONValue, _ place: String
  ) throws(TokenizerError) -> CharacterMap {
    try CharacterMap(try mapBytes(json, place), at: "\(place).precompiled_charsmap")
  }

  /// The bytes of a map of characters, which files write in base64.
  static func mapBytes(_ json: JSONValue, _ place: String) throws(TokenizerError) -> [UInt8] {
    let text = try json.string("precompiled_charsmap", at: place)
    guard let bytes = Data(base64Encoded: text) else {
      throw TokenizerError("\(place).precompiled_charsmap: expected base64, found \(quoted(text))")
    }
    return [UInt8](bytes)
  }
}
