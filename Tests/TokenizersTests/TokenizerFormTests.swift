import Testing
import Tokenizers

@Suite("The form of a tokenizer is told from its file") struct TokenizerFormTests {
  private func form(_ json: String) -> TokenizerForm? {
    Array(json.utf8).withUnsafeBytes { TokenizerForm(tokenizerJSON: $0) }
  }

  @Test("of a tokenizer.json by its model")
  func json() {
    #expect(form(#"{"model": {"type": "Unigram", "vocab": []}}"#) == .unigram)
    #expect(form(#"{"model": {"type": "BPE", "vocab": {}}}"#) == .sentencePieceBytePairs)
    for empty in ["null", "\"\""] {
      #expect(
        form(#"{"a": [1], "model": {"type": "BPE", "end_of_word_suffix": \#(empty)}}"#)
          == .sentencePieceBytePairs)
    }
    for members in [
      #""type": "BPE", "end_of_word_suffix": "</w>""#,
      #""end_of_word_suffix": "</w>", "x": {"type": "Unigram"}, "type": "BPE""#,
    ] {
      #expect(form("{\"model\": {\(members)}}") == .clip)
    }
    // What follows does not matter, and is not read.
    #expect(form(#"{"model": {"type": "Unigram", "vocab": ["#) == .unigram)
    for other in [
      "", "{}", "[]", #"{"model": 1}"#, #"{"model": {"type": "WordPiece"}}"#,
      #"{"model": {"type": 7}}"#, #"{"type": "Unigram"}"#,
    ] {
      #expect(form(other) == nil, "\(other)")
    }
  }

  @Test("of a SentencePiece model by its trainer's settings")
  func sentencePiece() {
    // A piece, the trainer's settings with a field before the type, another message.
    func model(_ type: UInt8) -> [UInt8] {
      [0x0A, 0x03, 0x0A, 0x01, 0x61] + [0x12, 0x04, 0x20, 0x05, 0x18, type] + [0x1A, 0x00]
    }
    #expect(TokenizerForm(sentencePieceModel: model(1)) == .unigram)
    #expect(TokenizerForm(sentencePieceModel: model(2)) == .sentencePieceBytePairs)
    #expect(TokenizerForm(sentencePieceModel: model(3)) == nil)
    for length in 0..<model(1).count - 2 {
      #expect(TokenizerForm(sentencePieceModel: Array(model(1).prefix(length))) == nil)
    }
    #expect(TokenizerForm(sentencePieceModel: Array("#version: 0.2\na b".utf8)) == nil)
  }

  @Test("of a vocabulary and of merges")
  func others() {
    #expect(TokenizerForm(ggufModel: "llama") == .sentencePieceBytePairs)
    #expect(TokenizerForm(ggufModel: "t5") == .unigram)
    #expect(TokenizerForm(ggufModel: "gpt2") == nil)
    #expect(TokenizerForm(merges: Array("#version: 0.2\ni n\nth e</w>\n".utf8)) == .clip)
    #expect(TokenizerForm(merges: Array("#version: 0.2\ni n\n".utf8)) == nil)
    #expect(TokenizerForm(merges: []) == nil)
  }

  @Test(
    "of published files", .enabled(if: TestFiles.sharedData != nil, TestFiles.sharedDataReason))
  func published() throws {
    func bytes(_ path: String) throws -> [UInt8] {
      try TestFiles.bytes(try TestFiles.shared(path))
    }
    func json(_ path: String) throws -> TokenizerForm? {
      try bytes(path).withUnsafeBytes { TokenizerForm(tokenizerJSON: $0) }
    }
    #expect(try json("t5/tokenizer.json") == .unigram)
    #expect(try json("pile_t5/tokenizer.json") == .sentencePieceBytePairs)
    #expect(TokenizerForm(sentencePieceModel: try bytes("t5/spiece.model")) == .unigram)
    #expect(
      TokenizerForm(sentencePieceModel: try bytes("pile_t5/tokenizer.model"))
        == .sentencePieceBytePairs)
    #expect(TokenizerForm(merges: try bytes("clip/merges.txt")) == .clip)
  }
}
