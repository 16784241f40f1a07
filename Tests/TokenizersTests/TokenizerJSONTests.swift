import Foundation
import StrictJSON
import Testing
import Tokenizers

@Suite struct TokenizerJSONTests {
  static let variants = [
    "added-tokens", "added-tokens-legacy", "bos-eos", "ignore-merges", "legacy-normalizer",
    "metaspace-always", "metaspace-always-split", "metaspace-first", "metaspace-first-split",
    "metaspace-never", "metaspace-never-split", "missing-byte", "nfc-lowercase", "nfd-strip",
    "nfkc-first", "no-bytes-fused-unknown", "no-bytes-no-unknown", "no-bytes-single-unknowns",
    "no-post-processor",
  ]

  @Test("Every variant gives the ids of the tokenizers library", arguments: variants)
  func goldens(variant: String) throws {
    let folder = TestFiles.fixtures.appending(path: "tokenizers/\(variant)")
    let tokenizer = try Tokenizer(
      tokenizerJSON: TestFiles.json(folder.appending(path: "tokenizer.json")),
      settings: nil)
    for (text, ids) in try TestFiles.goldens(folder.appending(path: "golden.json")) {
      let found = tokenizer.encode(text, maximumLength: nil)
      #expect(found == ids, "\(text.debugDescription)")
      #expect(found.allSatisfy { $0 <= tokenizer.largestID })
      // Cutting keeps the start of the text and the tokens around it.
      guard ids.count > 3, variant != "bos-eos", variant != "no-post-processor" else { continue }
      #expect(tokenizer.encode(text, maximumLength: 3) == ids.prefix(2) + ids.suffix(1))
    }
  }

  @Test("Truncation keeps room for tokens on both sides")
  func truncation() throws {
    let url = TestFiles.fixtures.appending(path: "tokenizers/bos-eos/tokenizer.json")
    let tokenizer = try Tokenizer(tokenizerJSON: TestFiles.json(url), settings: nil)
    let ids = tokenizer.encode("a red fox", maximumLength: nil)
    #expect(ids.count > 4)
    #expect(tokenizer.encode("a red fox", maximumLength: 4) == ids.prefix(3) + ids.suffix(1))
    #expect(tokenizer.encode("a red fox", maximumLength: ids.count) == ids)
    #expect(tokenizer.encode("a red fox", maximumLength: 2) == [1, 2])
    #expect(tokenizer.encode("a red fox", maximumLength: 1) == [1])
    let cut = tokenizer.encodeCounting("a red fox", maximumLength: 4)
    #expect(cut.ids.count == 4 && cut.droppedCount == ids.count - 4)
    #expect(tokenizer.encodeCounting("a red fox", maximumLength: 99).droppedCount == 0)
    #expect(tokenizer.encode("a red fox", maximumLength: 0) == [])
    #expect(tokenizer.encode("a red fox", maximumLength: -1) == [])
    #expect(tokenizer.endOfSequenceID == 2)
  }

  @Test("A small file without optional sections can be used")
  func minimal() throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: ["model": ["vocab": ["a": 0, "b": 7, "ab": 3], "merges": ["a b"]]],
      settings: nil)
    #expect(tokenizer.encode("abba?") == [3, 7, 0])
    #expect(tokenizer.vocabularySize == 3)
    #expect(tokenizer.largestID == 7)
    #expect(tokenizer.endOfSequenceID == nil)
  }

  @Test("Composed and decomposed characters are different pieces")
  func composition() throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: [
        "model": [
          "vocab": ["\u{E9}": 0, "e": 1, "\u{301}": 2, "e\u{301}": 3],
          "merges": [["e", "\u{301}"]],
        ]
      ], settings: nil)
    #expect(tokenizer.encode("\u{E9}e\u{301}e") == [0, 3, 1])
  }

  @Test(
    "The published tokenizer.json gives the ids of the tokenizers library",
    .enabled(if: TestFiles.sharedData != nil, TestFiles.sharedDataReason))
  func publishedFile() throws {
    let tokenizer = try Tokenizer(
      tokenizerJSON: TestFiles.json(try TestFiles.shared("pile_t5/tokenizer.json")),
      settings: nil)
    let vectors = try TestFiles.shared("vectors/pile_t5_tokenizer_json.jsonl")
    for (text, ids) in try TestFiles.lines(vectors, key: "ids") {
      #expect(tokenizer.encode(text, maximumLength: nil) == ids, "\(text.debugDescription)")
    }
    #expect(tokenizer.vocabularySize == 32000)
    #expect(tokenizer.endOfSequenceID == 2)
  }
}

@Suite struct TokenizerJSONErrorTests {
  static let model: JSONValue = ["vocab": ["a": 0], "merges": []]

  static let faults: [(file: JSONValue, reason: String)] = [
    ([], "expected an object, found an array of 0"),
    ([:], "model: expected an object, found nothing"),
    (["version": "2.0"], "version: the version \"2.0\" (only 1.0 is) is not supported"),
    (
      ["model": ["type": "WordPiece"]],
      "a model of type \"WordPiece\" (only BPE and Unigram are) is not supported"
    ),
    (
      ["model": ["type": "Unigram", "vocab": [["a", 0]], "unk_id": 1]],
      "model.unk_id: the id 1 is outside the vocabulary of 1"
    ),
    (
      ["model": ["type": "Unigram", "vocab": [["a"]], "unk_id": 0]],
      "model.vocab[0]: expected a piece and its score, found an array of 1"
    ),
    (
      ["model": ["type": "Unigram", "vocab": [["a", 0], ["a", 1]], "unk_id": 0]],
      "model.vocab[1]: the piece \"a\" is empty or appears twice"
    ),
    (["model": ["type": "Unigram", "vocab": [["a", 0]]]], "model.unk_id: expected an id"),
    (["model": ["vocab": [1, 2]]], "model.vocab: expected an object, found an array of 2"),
    (["model": ["vocab": ["a": "0"]]], "expected an id from 0 to 2147483647, found \"0\""),
    (["model": ["vocab": ["a": -1]]], "expected an id from 0 to 2147483647, found -1"),
    (["model": ["vocab": ["a": 2_147_483_648]]], "found 2147483648"),
    (["model": ["vocab": ["a": 0.5]]], "found 0.5"),
    (["model": ["vocab": ["a": 1, "b": 1]]], "the id 1 belongs to another piece already"),
    (["model": ["vocab": ["a": 1, "a": 2]]], "the piece \"a\" appears twice"),
    (["model": ["vocab": ["a": 1]]], "model.merges: expected an array, found nothing"),
    (["model": ["vocab": ["a": 1], "merges": ["a b"]]], "\"b\" is not in the vocabulary"),
    (["model": ["vocab": ["a": 1], "merges": ["a a"]]], "\"aa\" is not in the vocabulary"),
    (["model": ["vocab": ["a": 1], "merges": ["a"]]], "model.merges[0]: expected two pieces"),
    (["model": ["vocab": ["a": 1], "merges": [["a"]]]], "expected two pieces, found an array"),
    (["model": ["vocab": ["a": 1], "merges": [7]]], "expected two pieces, found 7"),
    (["model": ["vocab": ["a": 1], "merges": [], "dropout": 0.1]], "model.dropout"),
    (["model": ["vocab": [:], "merges": [], "fuse_unk": 1]], "expected true or false, found 1"),
    (["model": ["vocab": [:], "merges": [], "unk_token": "?"]], "\"?\" is not in the vocabulary"),
    (["model": model, "added_tokens": [["content": "x"]]], "added_tokens[0].id"),
    (["model": model, "added_tokens": [["id": 4_294_967_296]]], "found 4294967296"),
    (["model": model, "added_tokens": [["id": 1]]], "content: expected a string, found nothing"),
    (
      [
        "model": model,
        "added_tokens": [["id": 1, "content": "x"], ["id": 1, "content": "y"]],
      ], "the id 1 belongs to another added token already"
    ),
    (["model": model, "normalizer": ["type": "Nmt"]], "\"Nmt\" is not supported"),
    (
      ["model": model, "normalizer": ["type": "Precompiled"]],
      "precompiled_charsmap: expected a string, found nothing"
    ),
    (
      ["model": model, "normalizer": ["type": "Precompiled", "precompiled_charsmap": "?"]],
      "precompiled_charsmap: expected base64, found \"?\""
    ),
    (
      [
        "model": model,
        "normalizer": ["type": "Replace", "pattern": ["Regex": " *"], "content": ""],
      ], "is not supported"
    ),
    (["model": model, "pre_tokenizer": ["type": "Digits"]], "\"Digits\" is not supported"),
    (
      ["model": model, "pre_tokenizer": ["type": "Metaspace", "prepend_scheme": "last"]],
      "found \"last\""
    ),
    (["model": model, "post_processor": ["type": "ByteLevel"]], "\"ByteLevel\" is not supported"),
    (
      [
        "model": model,
        "post_processor": [
          "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "</s>"]]],
        ],
      ], "\"</s>\" is not among special_tokens"
    ),
    (
      [
        "model": model,
        "post_processor": ["type": "TemplateProcessing", "single": [["Sequence": ["id": "B"]]]],
      ], "sequence B is used, but there is only A"
    ),
  ]

  @Test("Malformed and unsupported files are refused with a reason", arguments: faults.indices)
  func refuses(index: Int) {
    let fault = Self.faults[index]
    let found = reason {
      _ = try Tokenizer(tokenizerJSON: fault.file, settings: nil)
    }
    #expect(found.contains(fault.reason), "\(found)")
    #expect(!found.contains("\n"))
  }
}
