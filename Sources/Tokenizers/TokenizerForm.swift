import StrictJSON

/// The ways of splitting text that tokenizers of text encoders have, as files show them.
///
/// Two forms never stand for each other: a vocabulary of the wrong one gives ids that are in range
/// and mean something else.
package enum TokenizerForm: String, Sendable, CaseIterable {
  /// Byte pairs of SentencePiece, as Llama has them.
  case sentencePieceBytePairs
  /// SentencePiece's unigram model, as T5 has it.
  case unigram
  /// Byte pairs of words whose last symbol ends in `</w>`, as CLIP has them.
  case clip

  /// With its article, for messages.
  package var phrase: String {
    switch self {
    case .sentencePieceBytePairs: "a SentencePiece tokenizer of byte pairs"
    case .unigram: "a T5 tokenizer (SentencePiece unigram)"
    case .clip: "a CLIP tokenizer"
    }
  }

  /// Names of files that describe it in a folder, in the order in which they count.
  package var fileNames: [String] {
    self == .clip
      ? ["tokenizer.json", "merges.txt"] : ["tokenizer.json", "tokenizer.model", "spiece.model"]
  }
}

extension TokenizerForm {
  /// The form of a tokenizer.json; nil if it is of another kind, or malformed.
  ///
  /// - Parameter bytes: the text, which is read without building a tree.
  package init?(tokenizerJSON bytes: UnsafeRawBufferPointer) {
    var (type, endsWords, isKnown) = (String?.none, false, false)
    var scanner = JSONScanner(bytes)
    // What is malformed is reported where the file is used. Vocabularies come last and are long:
    // an error ends the reading before them.
    try? scanner.readObject { (scanner, key) throws(JSONError) in
      guard key == "model", try scanner.peekKind() == .object else {
        return try scanner.skipValue()
      }
      try scanner.readObject { (scanner, key) throws(JSONError) in
        let isText = try scanner.peekKind() == .string
        switch key {
        case "type" where isText:
          type = try scanner.readString(limit: 256)
          isKnown = type != "BPE"
        case "end_of_word_suffix":
          endsWords = isText
          if isText { endsWords = try !scanner.readString(limit: 256).isEmpty }
          if !isText { try scanner.skipValue() }
          isKnown = type == "BPE"
        default: try scanner.skipValue()
        }
        if isKnown { throw scanner.error("the rest does not matter") }
      }
    }
    switch type {
    case "Unigram": self = .unigram
    case "BPE": self = endsWords ? .clip : .sentencePieceBytePairs
    default: return nil
    }
  }

  /// The form of a SentencePiece model; nil if it is of another kind, or malformed.
  ///
  /// - Parameter bytes: the content of tokenizer.model or spiece.model.
  package init?(sentencePieceModel bytes: [UInt8]) {
    var reader = ProtobufReader(bytes[...])
    while let field = try? reader.nextField() {
      // The trainer's settings, which begin with those of the model.
      guard field.number == 2, case .bytes(let trainer) = field.value else { continue }
      var reader = ProtobufReader(trainer)
      while let field = try? reader.nextField() {
        guard field.number == 3, case .varint(let type) = field.value else { continue }
        guard type == 1 || type == 2 else { return nil }
        self = type == 1 ? .unigram : .sentencePieceBytePairs
        return
      }
      return nil
    }
    return nil
  }

  /// The form of a vocabulary in GGUF metadata; nil for another kind.
  ///
  /// - Parameter model: `tokenizer.ggml.model`.
  package init?(ggufModel model: String) {
    switch model {
    case "llama": self = .sentencePieceBytePairs
    case "t5": self = .unigram
    case "clip": self = .clip
    default: return nil
    }
  }

  /// The form of a merges.txt; nil if its merges are not those of words.
  ///
  /// - Parameter bytes: the text.
  package init?(merges bytes: some Collection<UInt8>) {
    // The merges that matter most come first, and end words.
    let text = String(decoding: bytes.prefix(1 << 14), as: UTF8.self)
    guard text.split(separator: "\n").contains(where: { $0.hasSuffix("</w>") }) else { return nil }
    self = .clip
  }
}
