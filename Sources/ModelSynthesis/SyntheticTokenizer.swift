import StrictJSON

/// A synthetic byte-pair tokenizer of the Llama kind: control pieces, bytes, ASCII characters, then
/// syllables and words of syllables, so that a text gives about as many tokens as with a real one.
package struct SyntheticTokenizer: Sendable {
  private static let space = "▁"
  private static let controls = ["<unk>", "<s>", "</s>"]
  private static let endID = 2

  /// Pieces by id.
  package let pieces: [String]
  /// Merges by rank; the result of each is a piece.
  package let merges: [(left: String, right: String)]

  /// - Parameter pieceCount: pieces to make; at least the 354 that are not words are made.
  package init(pieceCount: Int) {
    let hexadecimal = Array("0123456789ABCDEF")
    var pieces = Self.controls
    pieces += (0..<256).map { "<0x\(hexadecimal[$0 / 16])\(hexadecimal[$0 % 16])>" }
    pieces.append(Self.space)
    pieces += (0x21...0x7E).map { String(UnicodeScalar(UInt8($0))) }
    var merges: [(left: String, right: String)] = []
    func merge(_ left: String, _ right: String) {
      guard pieces.count < pieceCount else { return }
      pieces.append(left + right)
      merges.append((left, right))
    }
    let syllables = SyntheticWords.syllables
    for syllable in syllables { merge(String(syllable.prefix(1)), String(syllable.suffix(1))) }
    for syllable in syllables { merge(Self.space, syllable) }
    for first in syllables { for second in syllables { merge(Self.space + first, second) } }
    for first in syllables { for second in syllables { merge(first, second) } }
    // Words of three syllables, until there are enough.
    for first in syllables {
      guard pieces.count < pieceCount else { break }
      for second in syllables {
        for third in syllables.prefix(8) { merge(Self.space + first + second, third) }
      }
    }
    self.pieces = pieces
    self.merges = merges
  }

  /// The content of tokenizer.json.
  package var json: JSONValue {
    let added: [JSONValue] = Self.controls.enumerated().map { id, content in
      [
        "id": .integer(id), "content": .string(content), "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true,
      ]
    }
    let vocabulary = pieces.enumerated().map { JSONValue.Member(key: $1, value: .integer($0)) }
    return [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
      "normalizer": .null,
      "pre_tokenizer": [
        "type": "Metaspace", "replacement": .string(Self.space), "prepend_scheme": "first",
        "split": false,
      ],
      "post_processor": Self.postProcessor,
      "decoder": .null,
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": "<unk>", "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": true, "byte_fallback": true,
        "ignore_merges": false, "vocab": .object(vocabulary),
        "merges": .array(merges.map { [.string($0.left), .string($0.right)] }),
      ],
    ]
  }

  /// Ends every text with `</s>`.
  private static let postProcessor: JSONValue = [
    "type": "TemplateProcessing",
    "single": [
      ["Sequence": ["id": "A", "type_id": 0]], ["SpecialToken": ["id": "</s>", "type_id": 0]],
    ],
    "pair": [
      ["Sequence": ["id": "A", "type_id": 0]], ["Sequence": ["id": "B", "type_id": 1]],
    ],
    "special_tokens": [
      "</s>": ["id": "</s>", "ids": [.integer(endID)], "tokens": ["</s>"]]
    ],
  ]

  /// The content of tokenizer_config.json.
  package static let configuration: JSONValue = [
    "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
    "unk_token": "<unk>", "pad_token": "<unk>", "add_bos_token": false, "add_eos_token": true,
    "clean_up_tokenization_spaces": false,
  ]
}
