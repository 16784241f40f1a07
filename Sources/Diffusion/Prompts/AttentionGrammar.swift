/// Prompt weights as AUTOMATIC1111's web UI reads them.
///
/// - SeeAlso: `parse_prompt_attention` in its `modules/prompt_parser.py`.
enum AttentionGrammar {
  /// A prompt's pieces.
  static func pieces(of text: String) throws(PromptWeightError) -> [WeightedText] {
    var reader = Reader(text)
    try reader.read()
    return reader.pieces
  }

  private struct Reader {
    private let characters: [Character]
    private var place = 0
    private(set) var pieces: [WeightedText] = []
    /// Where the pieces of open marks begin.
    private var round: [Int] = []
    private var square: [Int] = []

    init(_ text: String) { characters = Array(text) }

    mutating func read() throws(PromptWeightError) {
      while place < characters.count { try readNext() }
      for first in round { multiply(from: first, by: 1.1) }
      for first in square { multiply(from: first, by: 1 / 1.1) }
      merge()
    }

    private mutating func readNext() throws(PromptWeightError) {
      let character = characters[place]
      switch character {
      case "\\":
        // A mark after a backslash is text; a backslash before anything else is nothing.
        let next = place + 1 < characters.count ? characters[place + 1] : nil
        let isMark = next.map { "()[]\\".contains($0) } ?? false
        pieces.append(WeightedText(isMark ? next.map { String($0) } ?? "" : ""))
        place += isMark ? 2 : 1
      case "(":
        round.append(pieces.count)
        place += 1
      case "[":
        square.append(pieces.count)
        place += 1
      case ")":
        place += 1
        if let first = round.popLast() { multiply(from: first, by: 1.1) } else { add(")") }
      case "]":
        place += 1
        if let first = square.popLast() { multiply(from: first, by: 1 / 1.1) } else { add("]") }
      case ":": try readColon()
      default:
        let first = place
        while place < characters.count, !"\\()[]:".contains(characters[place]) { place += 1 }
        add(String(characters[first..<place]))
      }
    }

    /// A weight before a closing parenthesis, or a colon.
    private mutating func readColon() throws(PromptWeightError) {
      var end = place + 1
      if end < characters.count, "+-".contains(characters[end]) { end += 1 }
      let first = end
      while end < characters.count, characters[end] == "." || PromptNumber.isDigit(characters[end])
      {
        end += 1
      }
      guard end > first, end < characters.count, characters[end] == ")" else {
        place += 1
        return add(":")
      }
      let number = PromptNumber.plain(String(characters[place + 1..<end]))
      let whole = String(characters[place...end])
      place = end + 1
      guard let start = round.popLast() else { return add(whole) }
      // Python takes 1. and .5 as numbers.
      guard let weight = Double(number) ?? Double("\(number)0") ?? Double(padded(number)) else {
        throw PromptWeightError(fault: "'\(number)' is not a weight")
      }
      multiply(from: start, by: weight)
    }

    /// A number with a digit before its point.
    private func padded(_ number: String) -> String {
      let sign = number.hasPrefix("-") ? "-" : ""
      return sign + "0" + number.drop { "+-".contains($0) }
    }

    /// Adds text; the word BREAK divides it.
    private mutating func add(_ text: String) {
      for (index, part) in Self.parts(of: text).enumerated() {
        if index > 0 { pieces.append(WeightedText(WeightedPrompt.windowMark, -1)) }
        pieces.append(WeightedText(part))
      }
    }

    /// What stands between the words BREAK, without white space beside them.
    private static func parts(of text: String) -> [String] {
      guard text.contains(WeightedPrompt.windowMark) else { return [text] }
      let parts = text.split(separator: /\bBREAK\b/, omittingEmptySubsequences: false)
      return parts.indices.map { index in
        var part = parts[index]
        if index > 0 { part = part.drop(while: \.isWhitespace) }
        if index + 1 < parts.count {
          while part.last?.isWhitespace == true { part.removeLast() }
        }
        return String(part)
      }
    }

    private mutating func multiply(from first: Int, by factor: Double) {
      for index in first..<max(first, pieces.count) { pieces[index].weight *= factor }
    }

    private mutating func merge() {
      var merged: [WeightedText] = []
      for piece in pieces {
        if merged.last?.weight == piece.weight {
          merged[merged.count - 1].text += piece.text
        } else {
          merged.append(piece)
        }
      }
      pieces = merged
    }
  }
}
