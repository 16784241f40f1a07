import Checkpoints
import Foundation
import ModelFiles
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

  @Test("a unigram model, with its map of characters through the metadata of a file")
  func unigram() throws {
    let folder = Fixtures.folder.appendingPathComponent("prompt-tokenizers/unigram")
    let model = try [UInt8](Data(contentsOf: folder.appendingPathComponent("spiece.model")))
    let vocabulary = try GGUFVocabulary(sentencePieceModel: model)
    let map = try #require(vocabulary.characterMap)
    let temporary = try TemporaryFolder()
    let path = temporary.path("t5.gguf")
    let layout = try GGUFWriter.layout(
      metadata: [
        ("tokenizer.ggml.model", .string(vocabulary.model)),
        (
          "tokenizer.ggml.tokens",
          .strings(vocabulary.tokens.map { String(decoding: $0, as: UTF8.self) })
        ),
        ("tokenizer.ggml.scores", .float32s(vocabulary.scores)),
        ("tokenizer.ggml.token_type", .int32s(vocabulary.tokenTypes ?? [])),
        ("tokenizer.ggml.precompiled_charsmap", .bytes(map)),
      ], tensors: [], path: path)
    try TensorFileWriter(path: path, overwrite: false, layout: layout).finish()
    let stored = try GGUFVocabulary(metadataOf: GGUFFile(MappedFile(path: path)))
    #expect(stored.characterMap == map)
    let tokenizer = try Tokenizer(ggufVocabulary: stored)
    let golden = try Fixtures.json("prompt-tokenizers/unigram/golden.json").arrayValue ?? []
    #expect(golden.count > 100)
    for value in golden {
      let text = try #require(value["text"]?.stringValue)
      let ids = try #require(value["ids"]?.arrayValue).compactMap {
        $0.integerValue.map(Int32.init)
      }
      #expect(tokenizer.encode(text) == ids + [1], "\(text.debugDescription)")
    }
  }

  @Test("a byte-level tokenizer.json has no such list")
  func otherKind() throws {
    let json: JSONValue = ["model": ["vocab": ["a": 0, "b": 1], "merges": []]]
    #expect(try GGUFVocabulary(tokenizerJSON: json) == nil)
  }
}
