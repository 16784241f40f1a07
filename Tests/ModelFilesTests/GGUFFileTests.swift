import ModelFiles
import TestSupport
import Testing

@Suite struct GGUFFileTests {
  @Test("An empty file of either version opens", arguments: [2, 3] as [UInt32])
  func emptyFileOpens(_ version: UInt32) throws {
    var builder = GGUFBuilder()
    builder.version = version
    let archive = try openArchive(builder.bytes, named: "empty.gguf")
    #expect(archive.format == .gguf)
    #expect(archive.tensors.records.isEmpty)
    let gguf = try #require(archive.gguf)
    #expect(gguf.version == Int(version))
    #expect(gguf.metadata.isEmpty)
    #expect(gguf.alignment == 32)
    #expect(archive.byteCount == 24)
    #expect(archive.safetensorsMetadata.isEmpty)
  }

  @Test("The sample's tensors are found with their bytes")
  func sampleOpens() throws {
    let archive = try openArchive(GGUFBuilder.sample.bytes, named: "model.bin")
    #expect(archive.tensors.records.map(\.name) == ["weight", "blocks", "empty", "scalar"])
    let weight = try archive.tensor("weight")
    #expect(weight.record.type.name == "F32")
    #expect(weight.bytes == floatBytes([1, 2, 3, 4, 5, 6]))
    let blocks = try archive.tensor("blocks")
    #expect(blocks.record.type.name == "Q4_0")
    #expect(blocks.bytes == Array(repeating: 0x11, count: 36))
    #expect(archive.tensors.index(of: "weigh") == nil)
    #expect(archive.tensors.index(of: "weights") == nil)
    #expect(archive.tensors.index(of: "") == nil)
    #expect(archive.tensors.index(of: "zzz") == nil)
  }

  @Test("Dimensions are turned to row-major order")
  func shapesAreRowMajor() throws {
    var builder = GGUFBuilder()
    builder.add("linear", [3, 2], data: floatBytes(Array(repeating: 0, count: 6)))
    builder.add("conv", [5, 4, 3, 2], data: floatBytes(Array(repeating: 0, count: 120)))
    builder.add("vector", [7], data: floatBytes(Array(repeating: 0, count: 7)))
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    #expect(archive.tensors.records.map(\.shape) == [[2, 3], [2, 3, 4, 5], [7]])
    #expect(archive.tensors.records.map(\.elementCount) == [6, 120, 7])
  }

  @Test("Scalars have one element, tensors with a zero dimension none")
  func scalarsAndEmptyTensors() throws {
    var builder = GGUFBuilder()
    builder.add("scalar", [], data: floatBytes([42]))
    builder.add("zero", [0], data: [])
    builder.add("rows", [32, 0], type: GGUFBuilder.q8_0, data: [])
    builder.add("last", [0, 3, 2], data: [], offset: 1 << 40)
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    #expect(archive.tensors.records.map(\.elementCount) == [1, 0, 0, 0])
    #expect(archive.tensors.records.map(\.byteCount) == [4, 0, 0, 0])
    #expect(try archive.tensor("scalar").bytes == floatBytes([42]))
    for name in ["zero", "rows", "last"] { #expect(try archive.tensor(name).bytes.isEmpty) }
  }

  @Test("Counting the elements of an empty tensor with huge other dimensions does not trap")
  func hugeEmptyTensorsCanBeCounted() async {
    await #expect(processExitsWith: .success) {
      var builder = GGUFBuilder()
      builder.add("huge", [0, 1 << 40, 1 << 40], data: [])
      let archive = try openArchive(builder.bytes, named: "a.gguf")
      #expect(archive.tensors.records.map(\.elementCount) == [0])
    }
  }

  @Test("Data begins at the file's alignment", arguments: [8, 16, 64, 4096, 24, 1, 2, 4])
  func alignmentIsKept(_ alignment: Int) throws {
    var builder = GGUFBuilder()
    builder.alignment = alignment
    builder.set("general.alignment", .uint32(UInt32(alignment)))
    builder.add("a", [1], data: floatBytes([1]))
    builder.add("b", [3], data: floatBytes([2, 3, 4]))
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    #expect(archive.gguf?.alignment == alignment)
    #expect(archive.tensors.records.allSatisfy { $0.byteOffset % alignment == 0 })
    #expect(try archive.tensor("a").bytes == floatBytes([1]))
    #expect(try archive.tensor("b").bytes == floatBytes([2, 3, 4]))
  }

  @Test("Tensors may stand in any order in the file, with gaps and bytes behind")
  func orderOfDataIsFree() throws {
    var builder = GGUFBuilder()
    builder.add("late", [1], data: floatBytes([1]), offset: 0)
    builder.add("early", [1], data: floatBytes([2]), offset: 128)
    let bytes = builder.bytes + Array(repeating: 0xEE, count: 50)
    builder.tensors.reverse()
    let swapped = builder.head + bytes.dropFirst(builder.head.count)
    for file in [bytes, swapped] {
      let archive = try openArchive(file, named: "a.gguf")
      #expect(try archive.tensor("late").bytes == floatBytes([1]))
      #expect(try archive.tensor("early").bytes == floatBytes([2]))
    }
  }

  @Test("Names that differ only in composition are two tensors")
  func compositionTellsNamesApart() throws {
    var builder = GGUFBuilder()
    builder.add("caf\u{E9}.weight", [1], data: floatBytes([1]))
    builder.add("cafe\u{301}.weight", [1], data: floatBytes([2]))
    builder.add("猫😀", [1], data: floatBytes([3]))
    builder.add(String(repeating: "n", count: 65_535), [1], data: floatBytes([4]))
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    #expect(try archive.tensor("caf\u{E9}.weight").bytes == floatBytes([1]))
    #expect(try archive.tensor("cafe\u{301}.weight").bytes == floatBytes([2]))
    #expect(try archive.tensor("猫😀").bytes == floatBytes([3]))
    #expect(try archive.tensor(String(repeating: "n", count: 65_535)).bytes == floatBytes([4]))
  }

  @Test("Many tensors are all found by name")
  func manyTensorsAreFound() throws {
    var builder = GGUFBuilder()
    for index in 0..<500 {
      builder.add("blk.\(index * 7919 % 500).w", [1], data: floatBytes([Float(index)]))
    }
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    for index in 0..<500 {
      let found = try archive.tensor("blk.\(index * 7919 % 500).w")
      #expect(found.bytes == floatBytes([Float(index)]))
    }
  }
}
