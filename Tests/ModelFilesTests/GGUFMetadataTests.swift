import ModelFiles
import TestSupport
import Testing

@Suite struct GGUFMetadataTests {
  /// Opens a file with one pair and returns its value.
  private func value(_ value: GGUFTestValue) throws -> GGUFValue {
    var builder = GGUFBuilder()
    builder.set("key", value)
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    return try #require(archive.gguf?.value(for: "key"))
  }

  @Test(
    "Integers of every width keep their value",
    arguments: [
      (.uint8(255), "uint8", 255), (.int8(-128), "int8", -128), (.uint16(65_535), "uint16", 65_535),
      (.int16(-32_768), "int16", -32_768), (.uint32(.max), "uint32", 4_294_967_295),
      (.int32(.min), "int32", -2_147_483_648), (.uint64(1 << 63 - 1), "uint64", .max),
      (.int64(.min), "int64", .min), (.int64(.max), "int64", .max),
    ] as [(GGUFTestValue, String, Int)])
  func integersAreRead(_ stored: GGUFTestValue, _ type: String, _ expected: Int) throws {
    let value = try value(stored)
    #expect(value.type.name == type)
    #expect(value.integer == expected)
    #expect(value.double == Double(expected))
    #expect(value.bool == nil && value.string == nil && value.elements() == nil)
    #expect(value.elementType == nil && value.elementCount == nil)
  }

  @Test("An unsigned value above Int is no integer, but readable")
  func largeUnsignedIsKept() throws {
    let value = try value(.uint64(.max))
    #expect(value.integer == nil)
    #expect(value.unsigned == .max)
    #expect(try self.value(.int64(5)).unsigned == nil)
  }

  @Test("Floats keep their bits")
  func floatsAreRead() throws {
    #expect(try value(.float32(0.1)).double == Double(Float(0.1)))
    #expect(try value(.float64(0.1)).double == 0.1)
    #expect(try value(.float64(.infinity)).double == .infinity)
    #expect(try value(.float32(.nan)).double?.isNaN == true)
    #expect(try value(.float32(1)).integer == nil)
    #expect(try value(.float64(1)).integer == nil)
  }

  @Test("Truth values are read")
  func boolsAreRead() throws {
    #expect(try value(.bool(0)).bool == false)
    #expect(try value(.bool(1)).bool == true)
    #expect(try value(.bool(1)).integer == nil)
  }

  @Test("Keys that differ only in Unicode composition are two keys")
  func composition() throws {
    var builder = GGUFBuilder()
    builder.set("\u{E9}", .uint8(1))
    builder.set("e\u{301}", .uint8(2))
    let gguf = try #require(try openArchive(builder.bytes, named: "a.gguf").gguf)
    #expect(gguf.value(for: "\u{E9}")?.integer == 1)
    #expect(gguf.value(for: "e\u{301}")?.integer == 2)
  }

  @Test("Texts keep every byte", arguments: ["", "plain", "é e\u{301} 😀", "a\u{0}b"])
  func textsAreRead(_ text: String) throws {
    let value = try value(.text(text))
    #expect(value.string.map { Array($0.utf8) } == Array(text.utf8))
    #expect(value.double == nil)
  }

  @Test("Arrays of every type are read")
  func arraysAreRead() throws {
    let arrays: [(GGUFTestValue, String)] = [
      (.array(type: 0, [.uint8(1), .uint8(255)]), "uint8"),
      (.array(type: 1, [.int8(1), .int8(-1)]), "int8"),
      (.array(type: 2, [.uint16(1), .uint16(2)]), "uint16"),
      (.array(type: 3, [.int16(1), .int16(2)]), "int16"),
      (.array(type: 4, [.uint32(1), .uint32(2)]), "uint32"),
      (.array(type: 5, [.int32(1), .int32(2)]), "int32"),
      (.array(type: 10, [.uint64(1), .uint64(2)]), "uint64"),
      (.array(type: 11, [.int64(1), .int64(2)]), "int64"),
      (.array(type: 6, [.float32(1), .float32(2)]), "float32"),
      (.array(type: 12, [.float64(1), .float64(2)]), "float64"),
    ]
    for (stored, name) in arrays {
      let value = try value(stored)
      #expect(value.type == .array)
      #expect(value.elementType?.name == name)
      #expect(value.elementCount == 2)
      let elements = try #require(value.elements())
      #expect(elements.map(\.type.name) == [name, name])
      #expect(elements.first?.double == 1)
      #expect(value.elements(limit: 1)?.count == 1)
      #expect(value.elements(limit: 0)?.isEmpty == true)
    }
    let bools = try value(.array(type: 7, [.bool(1), .bool(0)]))
    #expect(bools.elements()?.compactMap(\.bool) == [true, false])
    let texts = try value(.array(type: 8, [.text("a"), .text(""), .text("é")]))
    #expect(texts.elements()?.compactMap(\.string) == ["a", "", "é"])
  }

  @Test("Arrays of arrays are followed to their values, four levels deep")
  func nestedArraysAreRead() throws {
    let rows = try value(
      .array(
        type: 9,
        [
          .array(type: 4, [.uint32(1), .uint32(2)]), .array(type: 8, [.text("x")]),
          .array(type: 0, []),
        ]
      ))
    let inner = try #require(rows.elements())
    #expect(inner.map(\.elementCount) == [2, 1, 0])
    #expect(inner[0].elements()?.compactMap(\.integer) == [1, 2])
    #expect(inner[1].elements()?.compactMap(\.string) == ["x"])
    #expect(inner[2].elements()?.isEmpty == true)
    var deep = try value(Self.nested(4))
    for _ in 0..<3 { deep = try #require(deep.elements()?.first) }
    #expect(deep.elements()?.compactMap(\.integer) == [9])
  }

  @Test("Pairs keep their order and are found by key")
  func pairsKeepTheirOrder() throws {
    var builder = GGUFBuilder()
    for key in ["b", "a", "猫", "c.d"] { builder.set(key, .text(key + "!")) }
    let gguf = try #require(try openArchive(builder.bytes, named: "a.gguf").gguf)
    #expect(gguf.metadata.map(\.key) == ["b", "a", "猫", "c.d"])
    for key in ["b", "a", "猫", "c.d"] { #expect(gguf.value(for: key)?.string == key + "!") }
    #expect(gguf.value(for: "d") == nil)
  }

  private static func nested(_ depth: Int) -> GGUFTestValue {
    depth == 1
      ? .array(type: 0, [.uint8(9)]) : .array(type: 9, [nested(depth - 1)])
  }

  private static func file(
    _ name: String, _ message: String, _ value: GGUFTestValue
  ) -> MalformedFile {
    var builder = GGUFBuilder()
    builder.set("key", value)
    return MalformedFile(name, message, builder.bytes)
  }

  static let malformed: [MalformedFile] = [
    file("unknown type", "metadata 'key' has unknown type 13", .raw(type: 13, [0, 0, 0, 0])),
    file("number cut short", "metadata 'key' needs 8 bytes", .raw(type: 10, [0, 0, 0])),
    file("text length cut short", "metadata 'key' needs 8 bytes", .raw(type: 8, [0, 0])),
    file("text cut short", "needs 5 bytes", .raw(type: 8, littleEndian(UInt64(5)) + [0x61])),
    file(
      "text of all bytes", "needs 18446744073709551615", .raw(type: 8, littleEndian(UInt64.max))),
    file("text that is no UTF-8", "is not valid UTF-8", .string([0x61, 0xC3])),
    file("bool of 2", "is a bool of value 2, only 0 and 1", .bool(2)),
    file(
      "bool of 255 in an array", "holds a bool that is neither 0 nor 1",
      .array(type: 7, [.bool(0), .bool(255)])),
    file("array without type", "metadata 'key' needs 4 bytes", .raw(type: 9, [])),
    file("array without count", "metadata 'key' needs 8 bytes", .raw(type: 9, [4, 0, 0, 0, 1])),
    file("array of unknown type", "has elements of unknown type 13", .array(type: 13, [])),
    file(
      "array one element too long", "claims 3 elements of type uint32, but only 8 bytes",
      .array(type: 4, count: 3, [.uint32(1), .uint32(2)])),
    file(
      "array of all bytes", "claims 18446744073709551615 elements of type uint8",
      .array(type: 0, count: .max, [])),
    file("too many texts", "elements of type string", .array(type: 8, count: 2, [.text("")])),
    file(
      "too many arrays", "elements of type array",
      .array(type: 9, count: 2, [.array(type: 0, [])])),
    file(
      "text in an array cut short", "needs 9 bytes",
      .array(
        type: 8,
        [
          .raw(type: 8, littleEndian(UInt64(9)) + [0x61])
        ])),
    file(
      "text in an array that is no UTF-8", "not valid UTF-8", .array(type: 8, [.string([0xFF])])),
    file("five levels of arrays", "nests arrays deeper than 4", nested(5)),
    file("thousand levels of arrays", "nests arrays deeper than 4", nested(1000)),
  ]

  @Test("Broken values are refused", arguments: malformed)
  func valuesAreChecked(_ file: MalformedFile) throws { try file.expectRefusal(named: "a.gguf") }
}
