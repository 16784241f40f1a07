import Foundation

/// Prompt weights as ComfyUI reads them.
///
/// - SeeAlso: `token_weights` in its `comfy/sd1_clip.py`.
enum NestedGrammar {
  /// Most parentheses in one another.
  private static let depthLimit = 100
  /// What stands for parentheses after a backslash while others are read.
  private static let escapes = [("\\)", "\u{0}\u{1}"), ("\\(", "\u{0}\u{2}")]

  /// A prompt's pieces.
  static func pieces(of text: String) throws(PromptWeightError) -> [WeightedText] {
    var text = text
    for (escape, stand) in escapes { text = text.replacing(escape, with: stand) }
    var pieces = try pieces(of: Array(text.unicodeScalars)[...], weight: 1, depth: 0)
    for index in pieces.indices {
      for (escape, stand) in escapes {
        pieces[index].text = pieces[index].text.replacing(stand, with: escape.suffix(1))
      }
    }
    return pieces
  }

  private static func pieces(
    of text: ArraySlice<Unicode.Scalar>, weight: Double, depth: Int
  ) throws(PromptWeightError) -> [WeightedText] {
    guard depth <= depthLimit else {
      throw PromptWeightError(fault: "more than \(depthLimit) parentheses are in one another")
    }
    var pieces: [WeightedText] = []
    for part in parts(of: text) {
      guard part.count >= 2, part.first == "(", part.last == ")" else {
        pieces.append(WeightedText(string(part), weight))
        continue
      }
      var inner = part.dropFirst().dropLast()
      var own = weight * 1.1
      // What follows the last colon replaces the weight, if it is a number.
      if let colon = inner.lastIndex(of: ":"), colon > inner.startIndex,
        let number = number(inner[(colon + 1)...])
      {
        own = number
        inner = inner[..<colon]
      }
      pieces += try self.pieces(of: inner, weight: own, depth: depth + 1)
    }
    return pieces
  }

  private static func number(_ text: ArraySlice<Unicode.Scalar>) -> Double? {
    let text = PromptNumber.plain(string(text).trimmingCharacters(in: .whitespacesAndNewlines))
    guard let first = text.first, "+-.0123456789".contains(first) else { return nil }
    return Double(text) ?? (text.hasSuffix(".") ? Double(text + "0") : nil)
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  /// Text outside of parentheses, and whole outer parentheses.
  private static func parts(
    of text: ArraySlice<Unicode.Scalar>
  ) -> [ArraySlice<Unicode.Scalar>] {
    var parts: [ArraySlice<Unicode.Scalar>] = []
    var (first, depth) = (text.startIndex, 0)
    for index in text.indices {
      if text[index] == "(" {
        if depth == 0, index > first {
          parts.append(text[first..<index])
          first = index
        }
        depth += 1
      } else if text[index] == ")" {
        depth -= 1
        if depth == 0 {
          parts.append(text[first...index])
          first = index + 1
        }
      }
    }
    if first < text.endIndex { parts.append(text[first...]) }
    return parts
  }
}
