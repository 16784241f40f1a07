import ModelSynthesis
import StrictJSON
import Testing
import Tokenizers

@Suite struct SyntheticTokenizerTests {
  @Test("Pieces are as many as asked for and differ", arguments: [1000, 32_000])
  func pieces(_ count: Int) throws {
    let made = SyntheticTokenizer(pieceCount: count)
    #expect(made.pieces.count == count)
    #expect(Set(made.pieces).count == count)
    let tokenizer = try Tokenizer(tokenizerJSON: made.json, settings: nil)
    #expect(tokenizer.vocabularySize == count)
    #expect(Int(tokenizer.largestID) == count - 1)
    #expect(tokenizer.endOfSequenceID == 2)
  }

  @Test("Words become few tokens, foreign characters bytes, and every text ends")
  func encoding() throws {
    let made = SyntheticTokenizer(pieceCount: 32_000)
    let tokenizer = try Tokenizer(tokenizerJSON: made.json, settings: nil)
    func pieces(_ text: String) -> [String] {
      tokenizer.encode(text).map { made.pieces[Int($0)] }
    }
    #expect(pieces("") == ["</s>"])
    #expect(pieces("banana") == ["▁bana", "na", "</s>"])
    #expect(pieces("a cat") == ["▁", "a", "▁ca", "t", "</s>"])
    #expect(pieces("é") == ["▁", "<0xC3>", "<0xA9>", "</s>"])
    #expect(tokenizer.encode("banana", maximumLength: 2).last == 2)
  }

  @Test("transformers' LlamaTokenizer reads the same from the folder's files")
  func folderFiles() throws {
    let json = SyntheticTokenizer(pieceCount: 1000).json
    let settings = try TokenizerClassSettings(
      .llama, tokenizerConfig: SyntheticTokenizer.configuration)
    let plain = try Tokenizer(tokenizerJSON: json, settings: nil)
    let llama = try Tokenizer(tokenizerJSON: json, settings: settings)
    for text in ["", "a cat in front of a wall", " two  spaces ", "é 😀"] {
      #expect(plain.encode(text) == llama.encode(text))
    }
  }
}
