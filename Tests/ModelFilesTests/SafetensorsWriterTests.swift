import ModelFiles
import TestSupport
import Testing

@Suite struct SafetensorsWriterTests {
  @Test("Written tensors and texts are read back bit by bit")
  func filesAreReadBack() throws {
    let odd: [Float] = [
      .nan, -.infinity, -0.0, .leastNonzeroMagnitude, Float(bitPattern: 0x7FA0_0001), .pi,
    ]
    let bytes = SafetensorsWriter.encode(
      [
        .init(name: "latents", shape: [1, 2, 3], values: odd),
        .init(name: "scalar", shape: [], values: [7]),
        .init(name: "quo\"te\\\n\u{7F}é", shape: [0, 4], values: []),
      ],
      metadata: [("prompt", "a \"cat\"\n\u{0}\u{1F}é😀"), ("seed", "1"), ("", "")])
    let archive = try openArchive(bytes, named: "a.safetensors")
    #expect(archive.tensors.records.map(\.shape) == [[1, 2, 3], [], [0, 4]])
    #expect(archive.tensors.records.map(\.type.name) == ["F32", "F32", "F32"])
    #expect(try archive.tensor("latents").bytes == floatBytes(odd))
    #expect(try archive.tensor("scalar").bytes == floatBytes([7]))
    #expect(try archive.tensor("quo\"te\\\n\u{7F}é").bytes.isEmpty)
    #expect(archive.safetensorsMetadata.map(\.key) == ["prompt", "seed", ""])
    #expect(archive.safetensorsMetadata.map(\.value) == ["a \"cat\"\n\u{0}\u{1F}é😀", "1", ""])
  }

  @Test("Data is aligned to eight bytes, whatever the header's length", arguments: 1...9)
  func dataIsAligned(_ length: Int) throws {
    let name = String(repeating: "n", count: length)
    let bytes = SafetensorsWriter.encode([.init(name: name, shape: [1], values: [3])])
    let archive = try openArchive(bytes, named: "a.safetensors")
    #expect(archive.tensors.records.map { $0.byteOffset % 8 } == [0])
    #expect(try archive.tensor(name).bytes == floatBytes([3]))
  }

  @Test("A file of nothing is a sound file")
  func emptyFile() throws {
    let archive = try openArchive(SafetensorsWriter.encode([]), named: "a.safetensors")
    #expect(archive.tensors.records.isEmpty)
    #expect(archive.safetensorsMetadata.isEmpty)
  }
}
