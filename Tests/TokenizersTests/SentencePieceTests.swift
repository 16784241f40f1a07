import Foundation
import Testing
import Tokenizers

@Suite struct SentencePieceTests {
  @Test("A model file gives the ids of the SentencePiece library")
  func goldens() throws {
    let folder = TestFiles.fixtures.appending(path: "tokenizers/sentencepiece")
    let tokenizer = try Tokenizer(
      sentencePieceModel: TestFiles.bytes(folder.appending(path: "tokenizer.model")))
    for (text, ids) in try TestFiles.goldens(folder.appending(path: "golden.json")) {
      #expect(tokenizer.encode(text) == ids + [2], "\(text.debugDescription)")
      #expect(tokenizer.encode(text, maximumLength: 3) == ids.prefix(2) + [2])
    }
    #expect(tokenizer.endOfSequenceID == 2)
  }

  @Test(
    "The published model file gives the ids of the SentencePiece library",
    .enabled(if: TestFiles.sharedData != nil, TestFiles.sharedDataReason))
  func publishedFile() throws {
    let tokenizer = try Tokenizer(
      sentencePieceModel: TestFiles.bytes(try TestFiles.shared("pile_t5/tokenizer.model")))
    let vectors = try TestFiles.shared("vectors/spm_vectors.jsonl")
    for (text, ids) in try TestFiles.lines(vectors, key: "pile_t5_ids") {
      #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
  }

  @Test(
    "Long texts of one character are encoded in time",
    .timeLimit(.minutes(1)), arguments: ["a", " ", "ab ", "é"])
  func longText(unit: String) throws {
    let url = TestFiles.fixtures.appending(path: "tokenizers/sentencepiece/tokenizer.model")
    let tokenizer = try Tokenizer(sentencePieceModel: TestFiles.bytes(url))
    let text = String(repeating: unit, count: 65536 / unit.utf8.count)
    #expect(tokenizer.encode(text).count > 1000)
  }

  @Test("User-defined pieces stay whole and unused pieces are taken apart")
  func kinds() throws {
    let model = Message.model(
      pieces: [
        ("<unk>", 0, 2), ("</s>", 0, 3), ("a", -1, 1), ("b", -2, 1), ("ab", -3, 5),
        ("aba", -4, 1), ("a▁b", 0, 4),
      ])
    let tokenizer = try Tokenizer(sentencePieceModel: model)
    #expect(tokenizer.encode("aba") == [5, 1])
    #expect(tokenizer.encode("abb") == [2, 3, 3, 1])
    #expect(tokenizer.encode("aa bb") == [2, 6, 3, 1])
    #expect(tokenizer.encode("a?!b") == [2, 0, 3, 1])
    #expect(tokenizer.vocabularySize == 7)
    #expect(tokenizer.largestID == 6)
  }

  @Test("Malformed and unsupported models are refused with a reason")
  func faults() throws {
    let unknown = ("<unk>", Float(0), 2)
    let overflow = [UInt8](repeating: 0xFF, count: 11)
    let faults: [([UInt8], String)] = [
      ([], "expected a vocabulary, found 0 pieces"),
      ([0x0A], "the file ends inside a number"),
      ([0x0A, 0x7F, 0x00], "has 127 bytes, but only 1 are left"),
      ([0x0A] + overflow, "a number does not fit 64 bits"),
      ([0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01], "has 18446744073709551615 bytes"),
      ([0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x02], "does not fit 64 bits"),
      ([0x03], "field number 0"), ([0x0B], "has the wire type 3"),
      ([0x0D, 0, 0, 0, 0], "wrong wire type"), ([0x0D, 0, 0], "ends inside a number"),
      (Message.model(pieces: []), "expected a vocabulary, found 0 pieces"),
      (Message.model(pieces: [("a", 0, 1)]), "there is no unknown piece"),
      (Message.model(pieces: [unknown, ("<u>", 0, 2)]), "is the unknown piece already"),
      (Message.model(pieces: [unknown, ("a", 0, 1), ("a", 0, 1)]), "\"a\" appears twice"),
      (Message.model(pieces: [unknown, ("", 0, 1)]), "the text is empty"),
      (Message.model(pieces: [unknown, ("a", .nan, 1)]), "not a number"),
      (Message.model(pieces: [unknown, ("a", 0, 9)]), "type: expected 1 to 6, found 9"),
      (Message.model(pieces: [unknown], byteFallback: true), "the byte piece <0x00> is missing"),
      (
        Message.model(pieces: [unknown], type: 3),
        "type word (only unigram and bpe are) is not supported"
      ),
      (
        Message.model(pieces: [unknown], characterMap: [1]),
        "precompiled_charsmap: expected a map of characters, found 1 bytes"
      ),
    ]
    for (file, expected) in faults {
      let found = reason { _ = try Tokenizer(sentencePieceModel: file) }
      #expect(found.contains(expected), "\(found)")
    }
  }

  @Test("No prefix of a model file is fatal")
  func prefixes() throws {
    let url = TestFiles.fixtures.appending(path: "tokenizers/sentencepiece/tokenizer.model")
    let file = try TestFiles.bytes(url)
    for count in stride(from: 0, to: file.count, by: 13) {
      #expect(reason { _ = try Tokenizer(sentencePieceModel: Array(file[..<count])) } != "")
    }
  }
}

/// Writes protocol buffer messages.
private enum Message {
  static func model(
    pieces: [(text: String, score: Float, kind: Int)], type: UInt8 = 2, byteFallback: Bool = false,
    characterMap: [UInt8] = []
  ) -> [UInt8] {
    var file: [UInt8] = []
    for piece in pieces {
      let score = withUnsafeBytes(of: piece.score.bitPattern.littleEndian) { Array($0) }
      file += field(
        1, field(1, Array(piece.text.utf8)) + [0x15] + score + [0x18, UInt8(piece.kind)])
    }
    // model_type, and byte_fallback with field number 35.
    file += field(2, [0x18, type] + (byteFallback ? [0x98, 0x02, 1] : []))
    // Neither a dummy prefix nor removal of spaces.
    return file + field(3, field(2, characterMap) + [0x18, 0, 0x20, 0])
  }

  static func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
    [number << 3 | 2, UInt8(content.count)] + content
  }
}
