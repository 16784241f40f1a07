/// How parentheses in prompts are read.
public enum PromptWeighting: String, Sendable, CaseIterable {
  /// As text, as in diffusers.
  case off
  /// As AUTOMATIC1111's web UI reads them: `(word)` counts 1.1 times as much, `(word:1.3)` 1.3
  /// times, `[word]` 1 / 1.1 times; factors of nested ones are multiplied.
  case a1111
  /// As ComfyUI reads them: `(word)` 1.1 times, `(word:1.3)` 1.3 times whatever is around it;
  /// square brackets are text.
  case comfy
}

/// A piece of a prompt, and how much it counts.
package struct WeightedText: Sendable, Equatable {
  package var text: String
  package var weight: Double

  package init(_ text: String, _ weight: Double = 1) {
    self.text = text
    self.weight = weight
  }
}

/// A prompt in pieces that count differently.
package struct WeightedPrompt: Sendable, Equatable {
  /// In order; tokenized one by one.
  package let pieces: [WeightedText]
  /// How weights change what a text encoder makes of tokens.
  package let weighting: PromptWeighting

  /// The word at which A1111 begins a new window; it has a weight of -1.
  package static let windowMark = "BREAK"

  /// A prompt without weights.
  package init(_ text: String) {
    pieces = [WeightedText(text)]
    weighting = .off
  }

  /// Reads a prompt's weights.
  ///
  /// - Parameters:
  ///   - text: the prompt.
  ///   - weighting: the grammar.
  /// - Throws: `PromptWeightError` for what the grammar's own program stops at.
  package init(_ text: String, _ weighting: PromptWeighting) throws(PromptWeightError) {
    self.weighting = weighting
    let pieces: [WeightedText] =
      switch weighting {
      case .off: [WeightedText(text)]
      case .a1111: try AttentionGrammar.pieces(of: text)
      case .comfy: try NestedGrammar.pieces(of: text)
      }
    for piece in pieces where !piece.weight.isFinite || abs(piece.weight) > 1000 {
      throw PromptWeightError(fault: "the weight \(piece.weight) is outside of -1000...1000")
    }
    self.pieces = pieces.isEmpty ? [WeightedText("")] : pieces
  }

  /// The text without marks.
  package var text: String { pieces.map(\.text).joined() }

  /// Whether all pieces count alike.
  package var isPlain: Bool { pieces.allSatisfy { $0.weight == 1 } }
}

/// Why a prompt's weights cannot be read.
package struct PromptWeightError: Error, Equatable {
  package let fault: String
}

/// Numbers in prompts, whose digits may be of any script, as Python's are.
enum PromptNumber {
  static func isDigit(_ character: Character) -> Bool {
    character.unicodeScalars.allSatisfy { $0.properties.numericType == .decimal }
  }

  /// The same number in ASCII digits.
  static func plain(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      if scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue {
        scalars.append(Unicode.Scalar(UInt8(48 + min(9, max(0, value)))))
      } else {
        scalars.append(scalar)
      }
    }
    return String(scalars)
  }
}
