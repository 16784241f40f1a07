import StrictJSON

/// What folders hold of CLIP's tokenizer beside its merges, from which the vocabulary follows.
package enum CLIPFiles {
  /// Marks the last symbol of a word.
  package static let endOfWord = "</w>"
  /// What begins and ends every text; the last two ids.
  package static let specialTokens = ["<|startoftext|>", "<|endoftext|>"]

  /// A character for each byte that is none of the unprintable ones, in the order of ids: printable
  /// bytes stand for themselves, the others for characters from 256 on.
  package static let byteSymbols: [String] = {
    let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(UInt8(0xAE)...0xFF)
    let others = (UInt8.min...UInt8.max).filter { !printable.contains($0) }
    return printable.map { String(UnicodeScalar($0)) }
      + others.indices.map { index in
        UnicodeScalar(UInt32(256 + index)).map { String($0) } ?? ""
      }
  }()

  /// The content of vocab.json.
  ///
  /// - Parameter merges: the content of merges.txt.
  /// - Returns: ids by symbols, in the order of ids: bytes, bytes that end words, merges by rank,
  ///   special tokens.
  package static func json(merges: String) -> JSONValue {
    let lines = merges.split(whereSeparator: \.isNewline)
    let pairs = (lines.first?.hasPrefix("#version") == true ? lines.dropFirst() : lines[...])
      .map { $0.split(separator: " ").joined() }
    var seen: Set<String> = []
    let symbols =
      byteSymbols + byteSymbols.map { $0 + endOfWord } + pairs + specialTokens
    return .object(
      symbols.enumerated().filter { seen.insert($1).inserted }
        .map { JSONValue.Member(key: $1, value: .integer($0)) })
  }

  /// The content of tokenizer_config.json, with which transformers treats texts as CLIP does.
  package static let settings: JSONValue = [
    "tokenizer_class": "CLIPTokenizer", "add_prefix_space": false, "do_lower_case": true,
    "errors": "replace", "model_max_length": 77, "bos_token": .string(specialTokens[0]),
    "eos_token": .string(specialTokens[1]), "unk_token": .string(specialTokens[1]),
    "pad_token": .string(specialTokens[1]), "clean_up_tokenization_spaces": true,
  ]
}
