import StrictJSON

/// The vocabulary of CLIP's text encoders: `merges.txt` with or without `vocab.json`.
package struct CLIPVocabulary: Sendable {
  static let start = "<|startoftext|>"
  static let end = "<|endoftext|>"
  /// What the last symbol of a word has behind it.
  static let endOfWord = "</w>"
  /// Merges of the published vocabulary; the list that it was cut from goes on.
  private static let publishedMerges = 48_894

  /// The content of tokenizer_config.json, with which transformers treats texts as CLIP does.
  package static let configuration: JSONValue = [
    "tokenizer_class": "CLIPTokenizer", "add_prefix_space": false, "do_lower_case": true,
    "errors": "replace", "model_max_length": 77, "bos_token": .string(start),
    "eos_token": .string(end), "unk_token": .string(end), "pad_token": .string(end),
    "clean_up_tokenization_spaces": true,
  ]

  private let pieces: [JSONValue.Member]
  private let merges: [String]

  /// Reads the two files.
  ///
  /// - Parameters:
  ///   - bytes: merges.txt: a merge on each line, `a b`, the most important first.
  ///   - vocabulary: vocab.json. It follows from the merges where it is nil: the symbols of the 256
  ///     bytes, the same at the end of words, what the merges give in order, and the two special
  ///     tokens.
  /// - Throws: ``TokenizerError`` if a file is malformed.
  package init(merges bytes: [UInt8], vocabulary: JSONValue? = nil) throws(TokenizerError) {
    var merges = try Self.readMerges(bytes)
    if let vocabulary {
      guard let members = vocabulary.members else {
        throw TokenizerError("vocab.json: expected an object, found \(vocabulary.brief)")
      }
      pieces = members
    } else {
      merges = Array(merges.prefix(Self.publishedMerges))
      pieces = Self.pieces(merges)
    }
    self.merges = merges
  }

  private static func readMerges(_ bytes: [UInt8]) throws(TokenizerError) -> [String] {
    var merges: [String] = []
    var rest = bytes[...]
    var number = 0
    while !rest.isEmpty {
      var line = rest.prefix { $0 != 0x0A }
      rest = rest[min(line.endIndex + 1, rest.endIndex)...]
      number += 1
      if line.last == 0x0D { line.removeLast() }
      // The first line may tell the version, in one list behind the name of the file.
      if line.isEmpty || line.starts(with: "#version".utf8) { continue }
      if number == 1, line.first == UInt8(ascii: "\"") { continue }
      guard let space = line.firstIndex(of: 0x20), space > line.startIndex,
        space + 1 < line.endIndex, line.lastIndex(of: 0x20) == space,
        let text = String(validating: line, as: UTF8.self)
      else {
        throw TokenizerError("merges.txt:\(number): expected two pieces, found \(quoted(line))")
      }
      merges.append(text)
    }
    return merges
  }

  private static func pieces(_ merges: [String]) -> [JSONValue.Member] {
    var texts: [String] = []
    texts.reserveCapacity(2 * 256 + merges.count + 2)
    let symbols = ByteSymbols.order.map {
      String(decoding: ByteSymbols.symbols[Int($0)], as: UTF8.self)
    }
    texts += symbols
    texts += symbols.map { $0 + endOfWord }
    texts += merges.map { String(decoding: $0.utf8.filter { $0 != 0x20 }, as: UTF8.self) }
    texts += [start, end]
    return texts.enumerated().map { .init(key: $1, value: .integer($0)) }
  }

  /// The content of vocab.json: ids by symbols, in the order of ids where they follow from merges.
  package var json: JSONValue { .object(pieces) }

  // MARK: As a tokenizer.json

  /// Text in lower case with single spaces.
  static let normalizer: JSONValue = [
    "type": "Sequence",
    "normalizers": [
      ["type": "NFC"], ["type": "Replace", "pattern": ["Regex": "\\s+"], "content": " "],
      ["type": "Lowercase"],
    ],
  ]

  /// Words, single digits and runs of other characters, in the symbols of their bytes.
  static let preTokenizer: JSONValue = [
    "type": "Sequence",
    "pretokenizers": [
      [
        "type": "Split",
        "pattern": [
          "Regex": """
          <\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|\
          [^\\s\\p{L}\\p{N}]+
          """
        ],
        "behavior": "Removed", "invert": true,
      ],
      ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true],
    ],
  ]

  /// The vocabulary as the tokenizers library stores it, with all that becomes of a text.
  ///
  /// - Parameter settings: what the other files of the folder say; nil is a folder without them.
  /// - Returns: the content of a tokenizer.json.
  /// - Throws: ``TokenizerError`` if the vocabulary lacks the start or the end token.
  package func tokenizerJSON(settings: TokenizerClassSettings?) throws(TokenizerError) -> JSONValue
  {
    let usual = try TokenizerClassSettings(.clip, tokenizerConfig: nil)
    let settings = settings ?? usual
    let start = settings.roles["bos_token"] ?? Self.start
    let end = settings.roles["eos_token"] ?? Self.end
    let tokens = try settings.addedTokens(tokenizerJSON: .object([]))
    let ids = ids(of: tokens.map(\.content) + [Array(start.utf8), Array(end.utf8)])
    guard let startID = ids[ExactName(start)], let endID = ids[ExactName(end)] else {
      throw TokenizerError("vocab.json: \(quoted(start)) or \(quoted(end)) is missing")
    }
    return [
      "version": "1.0", "truncation": .null, "padding": .null,
      "added_tokens": .array(addedTokens(tokens, ids)),
      "normalizer": Self.normalizer, "pre_tokenizer": Self.preTokenizer,
      "post_processor": [
        "type": "RobertaProcessing", "sep": [.string(end), endID],
        "cls": [.string(start), startID], "trim_offsets": false, "add_prefix_space": false,
      ],
      "decoder": [
        "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
      ],
      "model": [
        "type": "BPE", "dropout": .null,
        "unk_token": .string(settings.roles["unk_token"] ?? Self.end),
        "continuing_subword_prefix": "", "end_of_word_suffix": .string(Self.endOfWord),
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": .object(pieces), "merges": .array(merges.map { .string($0) }),
      ],
    ]
  }

  /// The ids of those texts that are in the vocabulary.
  private func ids(of texts: [[UInt8]]) -> [ExactName: JSONValue] {
    let wanted = Set(texts.map { ExactName(String(decoding: $0, as: UTF8.self)) })
    var ids: [ExactName: JSONValue] = [:]
    for piece in pieces {
      let name = ExactName(piece.key)
      if wanted.contains(name) { ids[name] = piece.value }
    }
    return ids
  }

  /// The special tokens with their ids; those beyond the vocabulary get the next ones in order.
  private func addedTokens(
    _ listed: [AddedToken], _ ids: [ExactName: JSONValue]
  ) -> [JSONValue] {
    var tokens: [(id: JSONValue, token: AddedToken)] = []
    var places: [ExactName: Int] = [:]
    var next = pieces.count
    for token in listed {
      let name = ExactName(String(decoding: token.content, as: UTF8.self))
      if let place = places[name] {
        tokens[place].token = token
        continue
      }
      places[name] = tokens.count
      if let id = ids[name] {
        tokens.append((id, token))
      } else {
        tokens.append((.integer(next), token))
        next += 1
      }
    }
    return tokens.map { $0.token.json(id: $0.id) }
  }
}
