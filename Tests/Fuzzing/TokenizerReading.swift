import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

extension FuzzedReader {
  /// A prompt with what tokenizers treat in their own ways: spaces in a row and at the ends, marks
  /// to compose, Hangul, ligatures, special tokens and the names of bytes.
  private static let prompt = "  a photo of  ab ▁é e\u{301} 한 \u{1112}\u{1161} ﬀ\n</s><s><0x41> "
  /// Larger ids give lists of that length when a vocabulary is converted, which is slow here.
  private static let exportedIDs: Int32 = 4096

  func readTokenizerJSON(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    guard let json = try? JSONValue(parsing: bytes) else { return false }
    let text = json["text"]?.stringValue ?? ""
    let plain = Self.tokenizer { () throws(TokenizerError) in
      try Tokenizer(tokenizerJSON: json, settings: nil)
    }
    var tokenizers = [plain].compactMap { $0 }
    for tokenizerClass in [TokenizerClass.llama, .t5, .clip] {
      let tokenizer = Self.tokenizer { () throws(TokenizerError) in
        let settings = try TokenizerClassSettings(
          tokenizerClass, tokenizerConfig: json["tokenizer_config"],
          specialTokensMap: json["special_tokens_map"])
        return try Tokenizer(tokenizerJSON: json, settings: settings)
      }
      if let tokenizer { tokenizers.append(tokenizer) }
    }
    for tokenizer in tokenizers { try encode(tokenizer, text) }
    guard let largest = tokenizers.first?.largestID else { return false }
    if largest <= Self.exportedIDs,
      let vocabulary = try? GGUFVocabulary(tokenizerJSON: json)
    {
      try readVocabulary(vocabulary, text)
    }
    return true
  }

  func readSentencePiece(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let text = Self.text(bytes)
    if let vocabulary = try? GGUFVocabulary(sentencePieceModel: Array(bytes)) {
      try readVocabulary(vocabulary, text)
    }
    let tokenizer = Self.tokenizer { () throws(TokenizerError) in
      try Tokenizer(sentencePieceModel: Array(bytes))
    }
    guard let tokenizer else { return false }
    try encode(tokenizer, text)
    return true
  }

  func readCLIPMerges(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    let merges = Array(parts[0])
    var vocabulary: JSONValue?
    if parts.count > 1 {
      guard let json = try? JSONValue(parsing: UnsafeRawBufferPointer(rebasing: parts[1])) else {
        return false
      }
      vocabulary = json
    }
    let tokenizer = Self.tokenizer { () throws(TokenizerError) in
      try Tokenizer(clipMerges: merges, vocabulary: vocabulary)
    }
    guard let tokenizer else { return false }
    let text = Self.text(bytes)
    try encode(tokenizer, text)
    let stored = Self.tokenizer { () throws(TokenizerError) in
      let file = try CLIPVocabulary(merges: merges, vocabulary: vocabulary)
      return try Tokenizer(tokenizerJSON: try file.tokenizerJSON(settings: nil), settings: nil)
    }
    try expect(stored?.encode(text) == tokenizer.encode(text), "both forms give the same ids")
    return true
  }

  func readGGUFVocabulary(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    guard let gguf = try? GGUFFile(MappedFile(copying: bytes, path: "fuzzed.gguf")) else {
      return false
    }
    guard let vocabulary = try? GGUFVocabulary(metadataOf: gguf) else { return false }
    return try readVocabulary(vocabulary, Self.text(bytes))
  }

  @discardableResult
  private func readVocabulary(
    _ vocabulary: GGUFVocabulary, _ text: String
  ) throws(BrokenPromise) -> Bool {
    let tokenizer = Self.tokenizer { () throws(TokenizerError) in
      try Tokenizer(ggufVocabulary: vocabulary)
    }
    guard let tokenizer else { return false }
    try encode(tokenizer, text)
    return true
  }

  private static func tokenizer(_ make: () throws(TokenizerError) -> Tokenizer) -> Tokenizer? {
    do throws(TokenizerError) { return try make() } catch { return nil }
  }

  /// A prompt of the file's own bytes: pieces are likelier there than anywhere else.
  private static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes.prefix(256), as: UTF8.self)
  }

  private func encode(_ tokenizer: Tokenizer, _ text: String) throws(BrokenPromise) {
    try expect(tokenizer.largestID >= 0, "ids are not negative")
    for text in [Self.prompt, text, ""] {
      let ids = tokenizer.encode(text)
      try expect(
        ids.allSatisfy { (0...tokenizer.largestID).contains($0) }, "ids are in the vocabulary")
      for length in [0, 3] {
        let cut = tokenizer.encodeCounting(text, maximumLength: length)
        try expect(cut.ids.count <= length, "no more ids than asked for")
        try expect(cut.ids.count + cut.droppedCount == ids.count, "cut ids are counted")
      }
    }
  }
}
