import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizers

/// Vocabularies as lists for llama.cpp give the ids of the files that they were made from.
@Suite("Vocabularies as lists")
struct VocabularyTests {
  private func texts(_ name: String) throws -> [(text: String, ids: [Int32])] {
    let cases = try #require(try Fixtures.json("tokenizers/\(name)/golden.json").arrayValue)
    return try cases.map { value in
      (
        try #require(value["text"]?.stringValue),
        try #require(value["ids"]?.arrayValue).compactMap { $0.integerValue.map(Int32.init) }
      )
    }
  }

  @Test("a SentencePiece model")
  func sentencePiece() throws {
    let model = try [UInt8](
      Data(
        contentsOf: Fixtures.folder.appendingPathComponent(
          "tokenizers/sentencepiece/tokenizer.model"))
    )
    let tokenizer = try Tokenizer(ggufVocabulary: GGUFVocabulary(sentencePieceModel: model))
    for (text, ids) in try texts("sentencepiece") {
      #expect(tokenizer.encode(text) == ids + [2], "\(text.debugDescription)")
    }
  }

  @Test("a tokenizer.json of the same kind")
  func json() throws {
    let json = try Fixtures.json("tokenizers/metaspace-always/tokenizer.json")
    let vocabulary = try #require(try GGUFVocabulary(tokenizerJSON: json))
    let tokenizer = try Tokenizer(ggufVocabulary: vocabulary)
    let original = try Tokenizer(tokenizerJSON: json, settings: nil)
    var compared = 0
    for (text, _) in try texts("metaspace-always") {
      // SentencePiece knows no special tokens in texts, and puts a space before nothing.
      guard !text.isEmpty, !text.contains("<"), !text.contains("▁"), !text.hasPrefix(" ") else {
        continue
      }
      let ids = original.encode(text).filter { $0 > 2 }
      #expect(tokenizer.encode(text).filter { $0 > 2 } == ids, "\(text.debugDescription)")
      compared += 1
    }
    #expect(compared > 10)
  }

  @Test("a byte-level tokenizer.json has no such list")
  func otherKind() throws {
    let json: JSONValue = ["model": ["vocab": ["a": 0, "b": 1], "merges": []]]
    #expect(try GGUFVocabulary(tokenizerJSON: json) == nil)
  }
}
