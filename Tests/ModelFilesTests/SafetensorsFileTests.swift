import ModelFiles
import TestSupport
import Testing

@Suite struct SafetensorsFileTests {
  private typealias Builder = SafetensorsBuilder

  @Test("The sample's tensors and texts are read")
  func sampleOpens() throws {
    let archive = try openArchive(Builder.sample, named: "a.safetensors")
    #expect(archive.format == .safetensors)
    #expect(archive.tensors.records.map(\.name) == ["a", "b.é", "none"])
    #expect(archive.tensors.records.map(\.shape) == [[2, 3], [], [0, 4]])
    #expect(archive.tensors.records.map(\.type.name) == ["F32", "I64", "BF16"])
    #expect(archive.tensors.records.map(\.elementCount) == [6, 1, 0])
    #expect(try archive.tensor("a").bytes == (0..<24).map { UInt8($0) })
    #expect(try archive.tensor("b.é").bytes == (24..<32).map { UInt8($0) })
    #expect(try archive.tensor("none").bytes.isEmpty)
    #expect(archive.safetensorsMetadata.map(\.key) == ["format"])
    #expect(archive.safetensorsMetadata.map(\.value) == ["pt"])
  }

  @Test("An empty header opens, with and without padding", arguments: ["{}", "{}      ", "{ \n}"])
  func emptyHeaderOpens(_ header: String) throws {
    let archive = try openArchive(Builder.file(header), named: "a.safetensors")
    #expect(archive.tensors.records.isEmpty)
    #expect(archive.safetensorsMetadata.isEmpty)
  }

  @Test(
    "Every dtype is read",
    arguments: [
      ("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("I16", 2),
      ("I8", 1),
      ("U64", 8), ("U32", 4), ("U16", 2), ("U8", 1), ("BOOL", 1), ("C64", 8), ("F8_E4M3", 1),
      ("F8_E5M2", 1), ("F8_E8M0", 1),
    ])
  func dtypesAreRead(_ name: String, _ size: Int) throws {
    let data = (0..<3 * size).map { UInt8($0) }
    let header = "{" + Builder.entry("t", name, [3], [0, 3 * size]) + "}"
    let archive = try openArchive(Builder.file(header, data: data), named: "a.safetensors")
    let tensor = try archive.tensor("t")
    #expect(tensor.record.type.name == name)
    #expect(tensor.bytes == data)
  }

  @Test("Two four-bit floats share a byte")
  func subByteTypesAreRead() throws {
    let header = "{" + Builder.entry("t", "F4", [3, 2], [0, 3]) + "}"
    let archive = try openArchive(Builder.file(header, data: [1, 2, 3]), named: "a.safetensors")
    #expect(try archive.tensor("t").record.elementCount == 6)
  }

  @Test("Unknown fields of an entry are ignored, members may stand in any order")
  func unknownFieldsAreIgnored() throws {
    let header = #"""
      { "t": {"extra": {"deep": [1, {"x": null}]}, "data_offsets": [0, 2],
      "shape": [2], "note": "\u00e9", "dtype": "U8"} }
      """#
    let archive = try openArchive(Builder.file(header, data: [7, 8]), named: "a.safetensors")
    #expect(try archive.tensor("t").bytes == [7, 8])
  }

  @Test("Entries may stand in another order than their data")
  func orderOfEntriesIsFree() throws {
    let header =
      "{"
      + [
        Builder.entry("c", "U8", [1], [3, 4]), Builder.entry("z", "U8", [0], [3, 3]),
        Builder.entry("a", "U8", [3], [0, 3]),
      ].joined(separator: ",") + "}"
    let archive = try openArchive(
      Builder.file(header, data: [1, 2, 3, 4]), named: "a.safetensors")
    #expect(archive.tensors.records.map(\.name) == ["c", "z", "a"])
    #expect(try archive.tensor("a").bytes == [1, 2, 3])
    #expect(try archive.tensor("c").bytes == [4])
  }

  @Test("Names keep their composition, and may be empty")
  func compositionTellsNamesApart() throws {
    let header =
      "{"
      + [
        Builder.entry("\u{E9}", "U8", [1], [0, 1]), Builder.entry("e\u{301}", "U8", [1], [1, 2]),
        Builder.entry("", "U8", [1], [2, 3]),
      ].joined(separator: ",") + "}"
    let archive = try openArchive(Builder.file(header, data: [1, 2, 3]), named: "a.safetensors")
    #expect(try archive.tensor("\u{E9}").bytes == [1])
    #expect(try archive.tensor("e\u{301}").bytes == [2])
    #expect(try archive.tensor("").bytes == [3])
  }

  @Test("Up to 64 dimensions are read")
  func manyDimensionsAreRead() throws {
    let shape = Array(repeating: 1, count: 64)
    let header = "{" + Builder.entry("t", "U8", shape, [0, 1]) + "}"
    let archive = try openArchive(Builder.file(header, data: [9]), named: "a.safetensors")
    #expect(try archive.tensor("t").record.shape == shape)
  }

  @Test("Bytes that begin at an odd offset are read as they are")
  func unalignedDataIsRead() throws {
    let header =
      "{" + Builder.entry("a", "U8", [1], [0, 1]) + ","
      + Builder.entry("b", "F32", [1], [1, 5]) + "}"
    let archive = try openArchive(
      Builder.file(header, data: [1] + floatBytes([2.5])), named: "a.safetensors")
    #expect(try archive.tensor("b").bytes == floatBytes([2.5]))
  }
}
