import Foundation
import StrictJSON
import Testing
import Tokenizers

@Suite struct LlamaTokenizerTests {
  static let pipelines = [
    "custom-sigmas", "legacy-tokenizer", "one-step", "quantizable", "square", "tall-truncated",
    "unicode-two-images", "wide-negative",
  ]

  @Test("Pipeline folders give the ids of transformers' LlamaTokenizer", arguments: pipelines)
  func pipelineFolders(name: String) throws {
    let folder = TestFiles.fixtures.appending(path: "pipelines/\(name)")
    let settings = try TokenizerClassSettings(
      .llama,
      tokenizerConfig: TestFiles.json(folder.appending(path: "tokenizer/tokenizer_config.json")))
    let tokenizer = try Tokenizer(
      tokenizerJSON: TestFiles.json(folder.appending(path: "tokenizer/tokenizer.json")),
      settings: settings)
    let request = try TestFiles.json(folder.appending(path: "request.json"))
    let golden = folder.appending(path: "golden.safetensors")
    for (key, tensor) in [("prompt", "input_ids"), ("negative_prompt", "negative_input_ids")] {
      let text = try #require(request[key]?.stringValue)
      let ids = tokenizer.encode(text, maximumLength: request["max_sequence_length"]?.integerValue)
      #expect(try ids == TestFiles.int64Tensor(tensor, in: golden), "\(text.debugDescription)")
    }
  }

  /// The ids of `▁`, `a` and `▁a` are 0, 1 and 2, and special tokens have higher ids.
  static let file: JSONValue = [
    "model": ["vocab": ["▁": 0, "a": 1, "▁a": 2, "</s>": 3], "merges": ["▁ a"]],
    "added_tokens": [["id": 3, "content": "</s>", "special": true]],
    "normalizer": ["type": "Precompiled"],
    "pre_tokenizer": ["type": "ByteLevel"],
  ]

  func encode(_ text: String, _ config: JSONValue?, map: JSONValue? = nil) throws -> [Int32] {
    let settings = try TokenizerClassSettings(
      .llama, tokenizerConfig: config, specialTokensMap: map)
    return try Tokenizer(tokenizerJSON: Self.file, settings: settings).encode(text)
  }

  @Test("The configuration decides where the text gets a prefix")
  func prefix() throws {
    #expect(try encode("a</s>a", nil) == [2, 3, 1])
    #expect(try encode("a</s>a", ["legacy": false]) == [2, 3, 1])
    #expect(try encode("a</s>a", ["legacy": true]) == [2, 3, 2])
    #expect(try encode("a</s>a", ["legacy": .null, "add_prefix_space": .null]) == [2, 3, 1])
    #expect(try encode("a</s> a", ["legacy": true, "add_prefix_space": false]) == [1, 3, 2])
  }

  @Test("Characters without piece are dropped")
  func unknown() throws {
    #expect(try encode("?a?", nil) == [2])
    #expect(try encode("?", ["add_prefix_space": false]) == [])
  }

  @Test("Tokens with a role get the next ids in order")
  func namedTokens() throws {
    // `<s>` and `<unk>` are added by default.
    #expect(try encode("<s><unk>", [:]) == [4, 5])
    #expect(try encode("<pad><unk>", ["bos_token": "<pad>"]) == [4, 5])
    #expect(try encode("<x>", ["extra_special_tokens": ["<x>"]]) == [6])
    #expect(try encode("<x>", [:], map: ["pad_token": ["content": "<x>"]]) == [6])
  }

  @Test("Tokens of the configuration replace those of the file")
  func configuredTokens() throws {
    let config: JSONValue = [
      "added_tokens_decoder": ["9": ["content": "</s>", "lstrip": true, "special": true]]
    ]
    #expect(try encode("a  </s>", config) == [2, 3])
    #expect(try encode("a </s>", ["split_special_tokens": true]) == [2, 0])
  }

  @Test("The configuration decides which end of a long text is cut")
  func truncationSide() throws {
    let settings = try TokenizerClassSettings(.llama, tokenizerConfig: ["truncation_side": "left"])
    let tokenizer = try Tokenizer(tokenizerJSON: Self.file, settings: settings)
    #expect(tokenizer.encode("a</s>aa", maximumLength: 2) == [1, 1])
    #expect(tokenizer.endOfSequenceID == 3)
  }

  @Test("Members of wrong types are refused with a reason")
  func wrongTypes() {
    let faults: [(JSONValue, String)] = [
      ([], "expected an object"), (["legacy": "yes"], "expected true or false, found \"yes\""),
      (["truncation_side": "top"], "found \"top\""), (["eos_token": 3], "eos_token"),
      (["added_tokens_decoder": [1]], "expected an object, found an array of 1"),
      (["added_tokens_decoder": ["x": ["content": "y"]]], "expected an id"),
      (["added_tokens_decoder": ["1": ["content": 1]]], "content: expected a string, found 1"),
    ]
    for (config, expected) in faults {
      let found = reason { _ = try TokenizerClassSettings(.llama, tokenizerConfig: config) }
      #expect(found.contains(expected), "\(found)")
    }
  }
}
