import Foundation
import Testing
import Tokenizers

@Suite struct GGUFVocabularyTests {
  func vocabulary() -> GGUFVocabulary {
    GGUFVocabulary(
      model: "llama",
      tokens: ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab"].map { Array($0.utf8) },
      scores: [0, 0, 0, -3, -4, -5, -2, -1])
  }

  @Test("Without further keys a text gets a prefix and ends with </s>")
  func defaults() throws {
    let tokenizer = try Tokenizer(ggufVocabulary: vocabulary())
    #expect(tokenizer.encode("ab a") == [3, 7, 6, 2])
    #expect(tokenizer.encode("") == [2])
    #expect(tokenizer.encode("?!b") == [3, 0, 5, 2])
    #expect(tokenizer.endOfSequenceID == 2)
    #expect(tokenizer.largestID == 7)
  }

  @Test("Keys of the file change prefix and special tokens")
  func keys() throws {
    var vocabulary = vocabulary()
    vocabulary.addSpacePrefix = false
    vocabulary.addBOS = true
    vocabulary.addEOS = false
    vocabulary.removeExtraWhitespaces = true
    vocabulary.tokenTypes = [2, 3, 3, 1, 1, 0, 1, 4]
    let tokenizer = try Tokenizer(ggufVocabulary: vocabulary)
    #expect(tokenizer.encode("  ab  a ") == [1, 7, 6])
    vocabulary.bosID = 2
    #expect(try Tokenizer(ggufVocabulary: vocabulary).encode("a") == [2, 4])
  }

  @Test("Inconsistent and unsupported metadata is refused with a reason")
  func faults() {
    let faults: [(String, (inout GGUFVocabulary) -> Void)] = [
      ("a tokenizer of type \"gpt2\"", { $0.model = "gpt2" }),
      ("scores: expected 8 values, one per token, found 1", { $0.scores = [0] }),
      ("token_type: expected 8 values", { $0.tokenTypes = [] }),
      ("expected 0 to 6, found -1", { $0.tokenTypes = .init(repeating: -1, count: 8) }),
      ("there is no unknown piece", { $0.tokenTypes = .init(repeating: 1, count: 8) }),
      ("the id 8 is outside the vocabulary of 8", { $0.eosID = 8 }),
      (
        "the id -1 is outside",
        {
          $0.addBOS = true; $0.bosID = -1
        }
      ),
      (
        "found 0 pieces",
        {
          $0.tokens = []; $0.scores = []
        }
      ),
      ("\"a\" appears twice", { $0.tokens[5] = $0.tokens[4] }),
    ]
    for (expected, change) in faults {
      var vocabulary = vocabulary()
      change(&vocabulary)
      let found = reason { _ = try Tokenizer(ggufVocabulary: vocabulary) }
      #expect(found.contains(expected), "\(found)")
    }
  }

  @Test(
    "A published vocabulary gives the ids of llama.cpp",
    .enabled(if: TestFiles.sharedData != nil, TestFiles.sharedDataReason))
  func publishedFile() throws {
    let url = try TestFiles.shared("vectors/ggml-vocab-llama-spm.gguf")
    var reader = try MetadataReader(file: TestFiles.bytes(url))
    var vocabulary = try reader.read()
    vocabulary.addEOS = false
    vocabulary.addBOS = false
    let tokenizer = try Tokenizer(ggufVocabulary: vocabulary)
    let inputs = String(
      decoding: try TestFiles.bytes(url.appendingPathExtension("inp")), as: UTF8.self)
    let outputs = String(
      decoding: try TestFiles.bytes(url.appendingPathExtension("out")), as: UTF8.self)
    let texts = inputs.components(separatedBy: "\n__ggml_vocab_test__\n")
    let lines = outputs.components(separatedBy: "\n")
    #expect(texts.count > 40)
    for (text, line) in zip(texts, lines) {
      let ids = line.split(separator: " ").compactMap { Int32($0) }
      #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
  }
}

/// Reads what a vocabulary needs from the metadata of a GGUF file that is known to be sound.
private struct MetadataReader {
  let file: [UInt8]
  var offset = 0

  init(file: [UInt8]) { self.file = file }

  mutating func read() throws -> GGUFVocabulary {
    var vocabulary = GGUFVocabulary(model: "", tokens: [], scores: [])
    offset = 16
    for _ in 0..<integer(8) {
      let key = String(decoding: string(), as: UTF8.self)
      let type = integer(4)
      switch key {
      case "tokenizer.ggml.model": vocabulary.model = String(decoding: string(), as: UTF8.self)
      case "tokenizer.ggml.tokens": vocabulary.tokens = array { $0.string() }
      case "tokenizer.ggml.scores":
        vocabulary.scores = array { Float(bitPattern: UInt32($0.integer(4))) }
      case "tokenizer.ggml.token_type":
        vocabulary.tokenTypes = array { Int32($0.integer(4)) }
      default: try skip(type)
      }
    }
    return vocabulary
  }

  private mutating func integer(_ size: Int) -> Int {
    defer { offset += size }
    return Int(TestFiles.littleEndian(file[offset..<offset + size]))
  }

  private mutating func string() -> [UInt8] {
    let count = integer(8)
    defer { offset += count }
    return Array(file[offset..<offset + count])
  }

  private mutating func array<Element>(
    _ element: (inout MetadataReader) -> Element
  ) -> [Element] {
    offset += 4
    return (0..<integer(8)).map { _ in element(&self) }
  }

  private mutating func skip(_ type: Int) throws {
    switch type {
    case 0, 1, 7: offset += 1
    case 2, 3: offset += 2
    case 4, 5, 6: offset += 4
    case 10, 11, 12: offset += 8
    case 8: _ = string()
    default: throw TokenizerError("metadata type \(type)")
    }
  }
}
