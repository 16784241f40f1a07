import Foundation
import StrictJSON
import Testing
import Tokenizers

/// Small files that ask for gigabytes or hours.
@Suite struct TokenizerLimitsTests {
  private static let model: JSONValue = ["vocab": ["a": 0], "merges": []]

  private static func replace(_ pattern: String, _ content: String) -> JSONValue {
    ["type": "Replace", "pattern": ["String": .string(pattern)], "content": .string(content)]
  }

  private static func normalizer(_ steps: [JSONValue]) -> JSONValue {
    ["model": model, "normalizer": ["type": "Sequence", "normalizers": .array(steps)]]
  }

  private static func postProcessor(_ pieces: [JSONValue], ids: Int) -> JSONValue {
    [
      "model": model,
      "post_processor": [
        "type": "TemplateProcessing", "single": .array(pieces),
        "special_tokens": ["x": ["ids": .array(Array(repeating: 0, count: ids))]],
      ],
    ]
  }

  private static func longToken(_ id: Int) -> JSONValue {
    ["id": .integer(id), "content": .string("\(id)" + String(repeating: "a", count: 65_000))]
  }

  /// A trie of one unit, and the text.
  private static let longMap = Data(
    [4, 0, 0, 0, 0, 0, 0, 0] + Array(repeating: UInt8(ascii: "a"), count: 300)
  ).base64EncodedString()

  private static let special: JSONValue = ["SpecialToken": ["id": "x"]]

  static let faults: [(file: JSONValue, reason: String)] = [
    // Eleven steps that make ten letters of one, which would be a hundred gigabytes.
    (
      normalizer(Array(repeating: replace("a", "aaaaaaaaaa"), count: 11)),
      "a normalizer that may make more than 1024 bytes of one is not supported"
    ),
    // A ligature of which a compatibility form makes eighteen letters, three of them spaces.
    (
      normalizer((0..<8).flatMap { _ in [replace(" ", "\u{FDFA}"), ["type": "NFKD"]] }),
      "more than 1024 bytes of one"
    ),
    (
      normalizer([["type": "Prepend", "prepend": .string(String(repeating: "a", count: 1 << 21))]]),
      "more than 1024 bytes of one"
    ),
    (
      normalizer(Array(repeating: ["type": "Lowercase"], count: 65)),
      "a normalizer of 65 steps (at most 64 are) is not supported"
    ),
    (
      [
        "model": model,
        "pre_tokenizer": [
          "type": "Sequence",
          "pretokenizers": .array(Array(repeating: ["type": "Metaspace"], count: 17)),
        ],
      ], "a pre-tokenizer of 17 steps (at most 16 are) is not supported"
    ),
    // Each step would make two bytes of most bytes.
    (
      [
        "model": model,
        "pre_tokenizer": [
          "type": "Sequence",
          "pretokenizers": .array(Array(repeating: ["type": "ByteLevel"], count: 16)),
        ],
      ], "a pre-tokenizer with 16 byte levels is not supported"
    ),
    // A map of characters with a replacement of 300 letters.
    (
      normalizer([["type": "Precompiled", "precompiled_charsmap": .string(longMap)]]),
      "a replacement of 300 bytes (at most 256 are) is not supported"
    ),
    // 500 times the same list of 1,000 ids.
    (
      postProcessor(Array(repeating: special, count: 500), ids: 1000),
      "a template of more than 1024 pieces and ids is not supported"
    ),
    (
      postProcessor(Array(repeating: ["Sequence": ["id": "A"]], count: 1025), ids: 0),
      "a template of more than 1024 pieces and ids is not supported"
    ),
    (
      [
        "model": model,
        "added_tokens": [["id": 1, "content": .string(String(repeating: "a", count: 65_537))]],
      ], "has 65537 bytes, at most 65536 are allowed"
    ),
    (
      [
        "model": model,
        "added_tokens": .array((1..<20).map { longToken($0) }),
      ], "tokens to look for in a text have more than 1048576 bytes"
    ),
  ]

  @Test("Files that ask for too much are refused with a reason", arguments: faults.indices)
  func refuses(index: Int) {
    let fault = Self.faults[index]
    let found = reason { _ = try Tokenizer(tokenizerJSON: fault.file, settings: nil) }
    #expect(found.contains(fault.reason), "\(found)")
  }

  @Test("What is in use is far within the limits")
  func inUse() throws {
    let steps: [JSONValue] = [
      ["type": "NFKC"], ["type": "Lowercase"], ["type": "Strip"],
      ["type": "Prepend", "prepend": "▁"], Self.replace(" ", "▁"), Self.replace("``", "\""),
    ]
    let tokenizer = try Tokenizer(tokenizerJSON: Self.normalizer(steps), settings: nil)
    #expect(tokenizer.encode("A") == [0])
  }

  @Test("Tens of thousands of roles take no time", .timeLimit(.minutes(1)))
  func manyRoles() throws {
    let roles = (0..<60_000).map { JSONValue.Member(key: "\($0)_token", value: "x") }
    let clock = ContinuousClock()
    let time = try clock.measure {
      _ = try TokenizerClassSettings(.llama, tokenizerConfig: .object(roles))
    }
    #expect(time < .seconds(2))
  }
}
