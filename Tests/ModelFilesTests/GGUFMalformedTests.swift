import ModelFiles
import TestSupport
import Testing

/// One argument for each check of `GGUFFile` and of the reader below it.
@Suite struct GGUFMalformedTests {
  private static func file(
    _ name: String, _ message: String, _ change: (inout GGUFBuilder) -> Void
  ) -> MalformedFile {
    var builder = GGUFBuilder()
    change(&builder)
    return MalformedFile(name, message, builder.bytes)
  }

  private static func tensor(
    _ name: String, _ message: String, _ dimensions: [UInt64], type: UInt32 = GGUFBuilder.f32,
    size: Int = 64, offset: UInt64? = nil
  ) -> MalformedFile {
    file(name, message) {
      $0.add(
        "t", dimensions, type: type, data: Array(repeating: 0, count: size), offset: 0)
      $0.tensors[0].offset = offset ?? 0
    }
  }

  static let header: [MalformedFile] = [
    file("version 0", "GGUF version 0: expected 2 or 3") { $0.version = 0 },
    file("version 1", "GGUF version 1: expected 2 or 3") { $0.version = 1 },
    file("version 4", "GGUF version 4: expected 2 or 3") { $0.version = 4 },
    file("big-endian 3", "a big-endian file") { $0.version = 3 << 24 },
    file("big-endian 2", "a big-endian file") { $0.version = 2 << 24 },
    file("one tensor too many", "claims 1 tensors") { $0.claimedTensors = 1 },
    file("all tensors", "claims 18446744073709551615 tensors") { $0.claimedTensors = .max },
    file("one pair too many", "claims 1 metadata pairs") { $0.claimedPairs = 1 },
    file("all pairs", "claims 18446744073709551615 metadata pairs") { $0.claimedPairs = .max },
    MalformedFile(
      "tensors above the limit", "has 65537 tensors, the limit is 65536",
      littleEndian(UInt32(0x4655_4747)) + littleEndian(UInt32(3)) + littleEndian(UInt64(65_537))
        + Array(repeating: 0, count: 8 + 24 * 65_537)),
    MalformedFile(
      "pairs above the limit", "the limit is 65536",
      littleEndian(UInt32(0x4655_4747)) + littleEndian(UInt32(3)) + littleEndian(UInt64(0))
        + littleEndian(UInt64(65_537)) + Array(repeating: 0, count: 13 * 65_537)),
    MalformedFile("magic only", "version needs 4 bytes at byte 4", Array("GGUF".utf8)),
    MalformedFile(
      "no counts", "tensor count needs 8 bytes at byte 8, only 0 are left",
      Array("GGUF".utf8) + littleEndian(UInt32(3))),
  ]

  static let names: [MalformedFile] = [
    file("empty key", "metadata key 0 at byte 32 is empty or holds a zero byte") {
      $0.pairs = [([], .uint64(0))]
    },
    file("zero byte in a key", "is empty or holds a zero byte") {
      $0.pairs = [([0x61, 0, 0x62], .uint64(0))]
    },
    file("key that is no UTF-8", "metadata key 0 at byte 32 is not valid UTF-8") {
      $0.pairs = [([0x61, 0xFF], .uint64(0))]
    },
    file("key too long", "is 65536 bytes long, at most 65535 are allowed") {
      $0.pairs = [(Array(repeating: 0x61, count: 65_536), .uint64(0))]
    },
    file("key beyond the end", "metadata key 0 needs 1000 bytes") {
      $0.set("a", .uint8(0))
    }.replacing(at: 24, with: littleEndian(UInt64(1000))),
    file("same key twice", "metadata 'a' occurs twice") {
      $0.set("a", .uint8(1))
      $0.set("a", .uint8(1))
    },
    file("empty tensor name", "name of tensor 0 at byte 32 is empty") {
      $0.add("", [1], data: floatBytes([1]))
    },
    file("zero byte in a tensor name", "holds a zero byte") {
      $0.add("a\u{0}", [1], data: floatBytes([1]))
    },
    file("tensor name that is no UTF-8", "name of tensor 0 at byte 32 is not valid UTF-8") {
      $0.add("ab", [1], data: floatBytes([1]))
      $0.tensors[0].name = [0xC3, 0x28]
    },
    file("tensor name too long", "name of tensor 0 at byte 32 is 65536 bytes long") {
      $0.add(String(repeating: "n", count: 65_536), [1], data: floatBytes([1]))
    },
    file("same tensor twice", "tensor 't' occurs twice") {
      $0.add("t", [1], data: floatBytes([1]))
      $0.add("t", [1], data: floatBytes([1]))
    },
  ]

  static let tensors: [MalformedFile] = [
    file("five dimensions", "tensor 't' has 5 dimensions, at most 4") {
      $0.add("t", [1, 1, 1, 1, 1], data: floatBytes([1]))
    },
    file("billions of dimensions", "has 4294967295 dimensions") {
      $0.add("t", [1], data: floatBytes([1]))
      $0.tensors[0].dimensionCount = .max
    },
    tensor("impossible type", "has type number 4294967295, which ggml never had", [1], type: .max),
    tensor("type beyond forks'", "has type number 65536, which ggml never had", [1], type: 1 << 16),
    tensor(
      "rows of half a block", "rows of 48 elements, Q4_0 needs a multiple of 32", [48, 2],
      type: GGUFBuilder.q4_0),
    tensor("scalar of blocks", "rows of 1 elements, Q8_0", [], type: GGUFBuilder.q8_0),
    tensor("elements overflow", "impossible dimensions", [1 << 32, 1 << 32]),
    tensor("bytes overflow", "impossible dimensions", [1 << 62]),
    tensor("overflow before a zero", "impossible dimensions", [1 << 40, 1 << 40, 0]),
    tensor("dimension above Int", "impossible dimensions", [0, .max]),
    tensor("elements above Int", "impossible dimensions", [1 << 63]),
    tensor("unaligned offset", "starts at offset 4, expected a multiple of 32", [1], offset: 4),
    tensor("one element beyond the end", "needs 68 bytes at offset 0 of the data", [17]),
    tensor("offset beyond the end", "it is damaged or cut short", [1], offset: 64),
    tensor("offset near the top", "cut short", [1], offset: .max & ~31),
    tensor("end above the top", "cut short", [1 << 60], offset: (.max & ~31) - (1 << 60)),
    tensor("empty tensor above Int", "needs 0 bytes", [0], offset: 1 << 63),
    file("overlap", "tensors 'a' and 'b' overlap") {
      $0.add("a", [16], data: floatBytes(Array(repeating: 1, count: 16)))
      $0.add("b", [1], data: floatBytes([1]), offset: 32)
    },
    file("overlap in other order", "tensors 'b' and 'a' overlap") {
      $0.add("a", [1], data: [], offset: 32)
      $0.add("b", [16], data: floatBytes(Array(repeating: 1, count: 16)), offset: 0)
    },
    file("same place", "overlap") {
      $0.add("a", [1], data: floatBytes([1]), offset: 0)
      $0.add("b", [1], data: [], offset: 0)
    },
  ]

  static let alignments: [MalformedFile] = [
    file("alignment 0", "is 0, expected a power of two or a multiple of 8") {
      $0.set("general.alignment", .uint32(0))
    },
    file("alignment 12", "is 12, expected a power of two or a multiple of 8") {
      $0.set("general.alignment", .uint32(12))
    },
    file("alignment of 64 bits", "is of type uint64, expected uint32") {
      $0.set("general.alignment", .uint64(32))
    },
    file("alignment as text", "is of type string, expected uint32") {
      $0.set("general.alignment", .text("32"))
    },
    file("offset for another alignment", "expected a multiple of 64") {
      $0.set("general.alignment", .uint32(64))
      $0.add("t", [1], data: floatBytes([1]), offset: 32)
    },
    file("largest alignment", "cut short") {
      $0.set("general.alignment", .uint32(.max & ~7))
      $0.add("t", [1], data: floatBytes([1]))
    },
  ]

  @Test("Broken headers are refused", arguments: header)
  func headersAreChecked(_ file: MalformedFile) throws { try file.expectRefusal(named: "a.gguf") }

  @Test("Broken names are refused", arguments: names)
  func namesAreChecked(_ file: MalformedFile) throws { try file.expectRefusal(named: "a.gguf") }

  @Test("Broken tensors are refused", arguments: tensors)
  func tensorsAreChecked(_ file: MalformedFile) throws { try file.expectRefusal(named: "a.gguf") }

  @Test(
    "Types that ggml has removed or this program does not know are named, with what to do",
    arguments: [
      (4, "tensor 't' is of type Q4_2 (number 4), which ggml has removed: take another quant"),
      (5, "Q4_3 (number 5)"), (31, "Q4_0_4_4 (number 31)"), (32, "Q4_0_4_8 (number 32)"),
      (33, "Q4_0_8_8 (number 33)"), (36, "IQ4_NL_4_4 (number 36)"), (37, "IQ4_NL_4_8 (number 37)"),
      (38, "IQ4_NL_8_8 (number 38)"), (43, "unknown type number 43: update this program or take"),
      (144, "(known are F32, F16, Q4_0, Q4_1, Q5_0,"), (65_535, "Q1_0, Q2_0)"),
    ])
  func unknownTypesAreNamed(_ type: UInt32, _ message: String) throws {
    let file = Self.tensor("type", message, [1], type: type)
    let folder = try TemporaryFolder()
    let path = try folder.write(file.bytes, to: "a.gguf")
    let error = #expect(throws: ModelFileError.self) { try TensorArchive(path: path) }
    #expect(error?.fault.contains(message) == true, "\(error?.fault ?? "")")
    #expect(error?.kind == .unsupported && error?.fault.contains("\n") == false)
  }

  @Test("Broken alignments are refused", arguments: alignments)
  func alignmentsAreChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "a.gguf")
  }

  @Test("Fewer bytes than the magic are refused", arguments: 0..<4)
  func bareMagicIsRefused(_ count: Int) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Array("GGUF".utf8.prefix(count)), to: "a.gguf")
    let file = try MappedFile(path: path)
    let error = #expect(throws: ModelFileError.self) { try GGUFFile(file) }
    #expect(error?.fault.contains("magic needs 4 bytes at byte 0, only \(count)") == true)
  }

  @Test("A file cut at any byte is refused")
  func truncatedFilesAreRefused() throws {
    let folder = try TemporaryFolder()
    let bytes = GGUFBuilder.sample.bytes
    _ = try TensorArchive(path: try folder.write(bytes, to: "a.gguf"))
    for length in 0..<bytes.count {
      let path = try folder.write(Array(bytes.prefix(length)), to: "a.gguf")
      #expect(throws: ModelFileError.self, "\(length) bytes") { try TensorArchive(path: path) }
    }
  }
}

extension MalformedFile {
  /// The same with other bytes at an offset.
  func replacing(at offset: Int, with part: [UInt8]) -> MalformedFile {
    MalformedFile(
      testDescription, message,
      Array(bytes.prefix(offset)) + part + bytes.dropFirst(offset + part.count))
  }
}
