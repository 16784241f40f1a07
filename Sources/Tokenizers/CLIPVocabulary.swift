import StrictJSON

/// The vocabulary of CLIP's text encoders: `merges.txt` with or without `vocab.json`.
package struct CLIPVocabulary: Sendable {
  static let start = "<|startoftext|>"
  static let end = "<|endoftext|>"
  /// What the last symbol of a word has behind it.
  static let endOfWord = "</w>"
  /// Merges of the published vocabulary; the list that it was cut from goes on.
  private static let publishedMerges = 48_894

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
    for (number, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
      .enumerated()
    {
      let line = line.last == 0x0D ? line.dropLast() : line
      // The first line may tell the version, in one list behind the name of the file.
      if line.isEmpty || line.starts(with: "#version".utf8) { continue }
      if number == 0, line.first == UInt8(ascii: "\"") { continue }
      let spaces = line.count { $0 == 0x20 }
      guard spaces == 1, line.first != 0x20, line.last != 0x20,
        let text = String(validating: line, as: UTF8.self)
      else {
        throw TokenizerError("merges.txt:\(number + 1): expected two pieces, found \(quoted(line))")
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
    let (startID, endID) = (try id(of: start), try id(of: end))
    return [
      "version": "1.0", "truncation": .null, "padding": .null,
      "added_tokens": .array(try addedTokens(settings)),
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

  /// The special tokens by their ids, which those beyond the vocabulary get in order.
  private func addedTokens(
    _ settings: TokenizerClassSettings
  ) throws(TokenizerError) -> [JSONValue] {
    var tokens: [(id: JSONValue, token: AddedToken)] = []
    var places: [[UInt8]: Int] = [:]
    var next = pieces.count
    for token in try settings.addedTokens(tokenizerJSON: .object([])) {
      if let place = places[token.content] {
        tokens[place].token = token
        continue
      }
      places[token.content] = tokens.count
      if let id = optionalID(of: token.content) {
        tokens.append((id, token))
      } else {
        tokens.append((.integer(next), token))
        next += 1
      }
    }
    return tokens.map { $0.token.json(id: $0.id) }
  }

  private func id(of token: String) throws(TokenizerError) -> JSONValue {
    guard let id = optionalID(of: Array(token.utf8)) else {
      throw TokenizerError("vocab.json: \(quoted(token)) is missing")
    }
    return id
  }

  private func optionalID(of token: [UInt8]) -> JSONValue? {
    // Special tokens are the last of published vocabularies.
    pieces.last { $0.key.utf8.count == token.count && $0.key.utf8.elementsEqual(token) }?.value
  }
}
