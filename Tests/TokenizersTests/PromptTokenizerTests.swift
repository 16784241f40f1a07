import Foundation
import StrictJSON
import Testing
import Tokenizers

/// The tokenizers of T5 and CLIP encoders against the libraries that define them.
@Suite struct PromptTokenizerTests {
  static let fixtures = TestFiles.fixtures.appending(path: "prompt-tokenizers")
  static let models = ["unigram", "unigram-bytes"]

  private func expect(
    _ tokenizer: Tokenizer, _ goldens: [(text: String, ids: [Int32])], adding end: [Int32] = []
  ) {
    #expect(goldens.count > 10)
    for (text, ids) in goldens {
      let found = tokenizer.encode(text)
      #expect(found == ids + end, "\(text.debugDescription)")
      #expect(found.allSatisfy { $0 <= tokenizer.largestID })
    }
  }

  private func goldens(_ folder: String, _ name: String = "golden") throws
    -> [(text: String, ids: [Int32])]
  {
    try TestFiles.goldens(Self.fixtures.appending(path: "\(folder)/\(name).json"))
  }

  private func file(_ folder: String, _ name: String) throws -> [UInt8] {
    try TestFiles.bytes(Self.fixtures.appending(path: "\(folder)/\(name)"))
  }

  private func json(_ folder: String, _ name: String) throws -> JSONValue {
    try TestFiles.json(Self.fixtures.appending(path: "\(folder)/\(name)"))
  }

  private func settings(_ kind: TokenizerClass, _ folder: String) throws -> TokenizerClassSettings {
    try TokenizerClassSettings(kind, tokenizerConfig: json(folder, "tokenizer_config.json"))
  }

  // MARK: Unigram models

  @Test("A unigram model file gives the ids of the SentencePiece library", arguments: models)
  func modelFile(name: String) throws {
    let model = try file(name, "spiece.model")
    let tokenizer = try Tokenizer(sentencePieceModel: model)
    try expect(tokenizer, goldens(name), adding: [1])
    #expect(tokenizer.endOfSequenceID == 1)
    #expect(tokenizer.paddingID == 0)
    #expect(tokenizer.encode("a red fox by the river", maximumLength: 3).last == 1)
    let listed = try Tokenizer(ggufVocabulary: GGUFVocabulary(sentencePieceModel: model))
    try expect(listed, goldens(name), adding: [1])
    #expect(listed.paddingID == 0)
  }

  @Test("A Unigram tokenizer.json gives the ids of the tokenizers library", arguments: models)
  func unigramJSON(name: String) throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: json("\(name)-json", "tokenizer.json"), settings: nil)
    try expect(tokenizer, goldens("\(name)-json"))
    #expect(tokenizer.paddingID == nil)
  }

  @Test("T5 folders give the ids of transformers' T5TokenizerFast", arguments: models)
  func t5Class(name: String) throws {
    let folder = "\(name)-json"
    let tokenizer = try Tokenizer(
      tokenizerJSON: json(folder, "tokenizer.json"), settings: settings(.t5, folder))
    try expect(tokenizer, goldens(folder, "golden-class"))
    #expect(tokenizer.endOfSequenceID == 1)
    #expect(tokenizer.paddingID == 0)
  }

  @Test("A Unigram tokenizer.json as lists encodes plain text as its model file", arguments: models)
  func unigramLists(name: String) throws {
    let vocabulary = try #require(
      try GGUFVocabulary(tokenizerJSON: json("\(name)-json", "tokenizer.json")))
    #expect(vocabulary.model == "t5")
    #expect(vocabulary.unknownID == 2 && vocabulary.eosID == 1 && vocabulary.paddingID == 0)
    let tokenizer = try Tokenizer(ggufVocabulary: vocabulary)
    for (text, ids) in try goldens(name)
    where !["<", "[x]"].contains(where: { text.contains($0) }) {
      #expect(tokenizer.encode(text) == ids + [1], "\(text.debugDescription)")
    }
  }

  // MARK: CLIP

  @Test("Merges alone give the ids of transformers' CLIPTokenizer")
  func clipMerges() throws {
    let merges = try file("clip", "merges.txt")
    let tokenizer = try Tokenizer(clipMerges: merges)
    try expect(tokenizer, goldens("clip"))
    let size = 2 * 256 + 300 + 2
    #expect(tokenizer.vocabularySize == size && tokenizer.largestID == Int32(size) - 1)
    #expect(tokenizer.endOfSequenceID == Int32(size) - 1)
    #expect(tokenizer.paddingID == Int32(size) - 1)
    let lines = String(decoding: merges, as: UTF8.self).replacingOccurrences(of: "\n", with: "\r\n")
    try expect(Tokenizer(clipMerges: Array(lines.utf8)), goldens("clip"))
  }

  @Test("CLIP folders give the ids of transformers' CLIPTokenizer, special tokens as configured")
  func clipFolder() throws {
    let (merges, vocabulary) = (try file("clip", "merges.txt"), try json("clip", "vocab.json"))
    let settings = try settings(.clip, "clip")
    let tokenizer = try Tokenizer(clipMerges: merges, vocabulary: vocabulary, settings: settings)
    try expect(tokenizer, goldens("clip", "golden-class"))
    #expect(tokenizer.paddingID == 0)
    // As a GGUF file carries it: text of a tokenizer.json, and the settings.
    let text = try CLIPVocabulary(merges: merges, vocabulary: vocabulary)
      .tokenizerJSON(settings: settings).text()
    let stored = try JSONValue(parsing: text)
    for settings in [nil, settings] {
      try expect(
        Tokenizer(tokenizerJSON: stored, settings: settings), goldens("clip", "golden-class"))
    }
  }

  @Test("A CLIP tokenizer.json gives the ids of the tokenizers library")
  func clipJSON() throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: json("clip-json", "tokenizer.json"), settings: nil)
    try expect(tokenizer, goldens("clip-json"))
    let ids = tokenizer.encode("a red fox sleeps", maximumLength: 4)
    #expect(ids.count == 4 && ids.last == tokenizer.endOfSequenceID)
  }

  @Test("Malformed CLIP files are refused with a reason")
  func clipFaults() {
    let faults: [(String, JSONValue?, String)] = [
      ("a", nil, "merges.txt:1: expected two pieces, found \"a\""),
      ("#version: 0.2\na b\na b c\n", nil, "merges.txt:3: expected two pieces"),
      ("a b\nab  c", nil, "merges.txt:2: expected two pieces"),
      ("a b\na b", nil, "the piece \"ab\" appears twice"),
      ("日 本", nil, "\"日\" is not in the vocabulary"),
      ("a b", [1], "vocab.json: expected an object, found an array of 1"),
      ("a b", ["a": 0], "vocab.json: \"<|startoftext|>\" or \"<|endoftext|>\" is missing"),
      (
        "a b", ["a": 0, "b": 1, "<|startoftext|>": 2, "<|endoftext|>": 3],
        "\"ab\" is not in the vocabulary"
      ),
      ("", ["<|startoftext|>": "x", "<|endoftext|>": 3], "expected an id"),
    ]
    for (merges, vocabulary, expected) in faults {
      let found = reason {
        _ = try Tokenizer(clipMerges: Array(merges.utf8), vocabulary: vocabulary)
      }
      #expect(found.contains(expected), "\(found)")
    }
  }

  @Test(
    "Long texts of one character are encoded in time", .timeLimit(.minutes(1)),
    arguments: ["a", " ", "a ", "é", "'", "1"])
  func longText(unit: String) throws {
    let text = String(repeating: unit, count: 65536 / unit.utf8.count)
    let tokenizers = [
      try Tokenizer(sentencePieceModel: file("unigram", "spiece.model")),
      try Tokenizer(tokenizerJSON: json("unigram-json", "tokenizer.json"), settings: nil),
      try Tokenizer(clipMerges: file("clip", "merges.txt")),
    ]
    for tokenizer in tokenizers {
      #expect(tokenizer.encode(text, maximumLength: 77).count <= 77)
    }
  }
}

/// Published vocabularies, which are not committed.
@Suite(.enabled(if: TestFiles.sharedData != nil, TestFiles.sharedDataReason))
struct PublishedPromptTokenizerTests {
  private func clip() throws -> Tokenizer {
    try Tokenizer(clipMerges: TestFiles.bytes(TestFiles.shared("clip/merges.txt")))
  }

  @Test("T5's files give the ids of the SentencePiece library and of transformers")
  func t5() throws {
    let model = try TestFiles.bytes(TestFiles.shared("t5/spiece.model"))
    let fromModel = try Tokenizer(sentencePieceModel: model)
    let listed = try Tokenizer(ggufVocabulary: GGUFVocabulary(sentencePieceModel: model))
    for (text, ids) in try TestFiles.lines(
      TestFiles.shared("vectors/spm_vectors.jsonl"), key: "t5_ids")
    {
      #expect(fromModel.encode(text) == ids, "\(text.debugDescription)")
      #expect(listed.encode(text) == ids, "\(text.debugDescription)")
    }
    let folder = try Tokenizer(
      tokenizerJSON: TestFiles.json(TestFiles.shared("t5/tokenizer.json")),
      settings: TokenizerClassSettings(
        .t5, tokenizerConfig: TestFiles.json(TestFiles.shared("t5/tokenizer_config.json"))))
    #expect(folder.vocabularySize == 32100 && folder.paddingID == 0)
    for (text, ids) in try TestFiles.lines(
      TestFiles.shared("vectors/hf_vectors.jsonl"), key: "t5_hf_ids")
    {
      #expect(folder.encode(text) == ids, "\(text.debugDescription)")
    }
  }

  @Test("CLIP's merges give the ids of transformers")
  func clipIDs() throws {
    let tokenizer = try clip()
    #expect(tokenizer.vocabularySize == 49408)
    #expect(tokenizer.paddingID == 49407)
    for (text, ids) in try TestFiles.lines(
      TestFiles.shared("vectors/hf_vectors.jsonl"), key: "clip_hf_ids")
    {
      #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
    for (text, ids) in try TestFiles.lines(
      TestFiles.shared("../families/clip_ids.jsonl"), key: "ids")
    {
      #expect(tokenizer.encode(text) == [49406] + ids + [49407], "\(text.debugDescription)")
    }
  }

  @Test("77 ids with start, end and padding")
  func clipLength() throws {
    let tokenizer = try clip()
    let cases = try #require(
      try TestFiles.json(TestFiles.shared("../families/clip_full77.json")).arrayValue)
    for value in cases {
      let text = try #require(value["text"]?.stringValue)
      var ids = tokenizer.encode(text, maximumLength: 77)
      let padding = try #require(tokenizer.paddingID)
      ids += Array(repeating: padding, count: 77 - ids.count)
      let expected = try #require(value["L_pad_49407"]?.arrayValue).compactMap(\.integerValue)
      #expect(ids.map(Int.init) == expected, "\(text.debugDescription)")
    }
  }
}
