import StrictJSON

/// A synthetic tokenizer of T5's kind: control pieces, ASCII characters, then syllables and words
/// of syllables, with probabilities that prefer long pieces.
package struct SyntheticUnigramTokenizer: Sendable {
  private static let space = "▁"
  private static let controls = ["<pad>", "</s>", "<unk>"]

  /// Pieces by id, with the logarithms of their probabilities.
  package let pieces: [(text: String, score: Double)]

  /// - Parameter pieceCount: pieces to make; at least the 98 that are not words are made.
  package init(pieceCount: Int) {
    var pieces: [(text: String, score: Double)] = Self.controls.map { ($0, 0) }
    pieces.append((Self.space, -2))
    pieces += (0x21...0x7E).map { (String(UnicodeScalar(UInt8($0))), -8) }
    func add(_ text: String) {
      // A long piece is likelier than its parts one after the other.
      if pieces.count < pieceCount { pieces.append((text, -9 - Double(pieces.count) / 100_000)) }
    }
    let syllables = SyntheticWords.syllables
    for syllable in syllables { add(syllable) }
    for syllable in syllables { add(Self.space + syllable) }
    for first in syllables { for second in syllables { add(Self.space + first + second) } }
    for first in syllables { for second in syllables { add(first + second) } }
    for first in syllables where pieces.count < pieceCount {
      for second in syllables {
        for third in syllables.prefix(8) { add(Self.space + first + second + third) }
      }
    }
    self.pieces = pieces
  }

  /// The content of tokenizer.json.
  package var json: JSONValue {
    let added: [JSONValue] = Self.controls.enumerated().map { id, content in
      [
        "id": .integer(id), "content": .string(content), "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true,
      ]
    }
    return [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
      "normalizer": .null,
      "pre_tokenizer": [
        "type": "Metaspace", "replacement": .string(Self.space), "add_prefix_space": true,
        "prepend_scheme": "always",
      ],
      "post_processor": [
        "type": "TemplateProcessing",
        "single": [
          ["Sequence": ["id": "A", "type_id": 0]], ["SpecialToken": ["id": "</s>", "type_id": 0]],
        ],
        "pair": [
          ["Sequence": ["id": "A", "type_id": 0]], ["SpecialToken": ["id": "</s>", "type_id": 0]],
          ["Sequence": ["id": "B", "type_id": 0]], ["SpecialToken": ["id": "</s>", "type_id": 0]],
        ],
        "special_tokens": ["</s>": ["id": "</s>", "ids": [1], "tokens": ["</s>"]]],
      ],
      "decoder": .null,
      "model": [
        "type": "Unigram", "unk_id": 2,
        "vocab": .array(pieces.map { [.string($0.text), .double($0.score)] }),
        "byte_fallback": false,
      ],
    ]
  }

  /// The content of tokenizer_config.json.
  package static let configuration: JSONValue = [
    "tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "unk_token": "<unk>",
    "pad_token": "<pad>", "extra_ids": 0, "clean_up_tokenization_spaces": true,
  ]
}
