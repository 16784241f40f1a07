import ModelFiles
import TestSupport
import Testing

@Suite struct NameBudgetTests {
  /// Distinct names of 65,500 bytes, a little more than 16 MiB of them.
  private var names: [String] {
    let tail = String(repeating: "n", count: 65_490)
    return (0..<257).map { String(10_000_000 + $0) + ".." + tail }
  }

  @Test("More bytes of metadata keys than are kept in memory are refused")
  func keys() throws {
    var builder = GGUFBuilder()
    for name in names { builder.set(name, .uint8(1)) }
    try MalformedFile("keys", "metadata keys of more than 16777216 bytes", builder.bytes)
      .expectRefusal(named: "keys.gguf")
  }

  @Test("More bytes of tensor names than are kept in memory are refused")
  func tensors() throws {
    var builder = GGUFBuilder()
    for name in names { builder.add(name, [0], data: []) }
    try MalformedFile("names", "tensor names of more than 16777216 bytes", builder.bytes)
      .expectRefusal(named: "names.gguf")
    let entries = names.map { SafetensorsBuilder.entry($0, "U8", [0], [0, 0]) }
    let header = "{" + entries.joined(separator: ",") + "}"
    try MalformedFile(
      "names", "tensor names of more than 16777216 bytes", SafetensorsBuilder.file(header)
    ).expectRefusal(named: "names.safetensors")
  }

  @Test("Metadata texts beyond what is kept are listed by their length")
  func texts() throws {
    let text = String(repeating: "t", count: 1 << 20)
    let pairs = (0..<20).map { (key: "\($0)", value: text) }
    let archive = try openArchive(
      SafetensorsWriter.encode([], metadata: pairs), named: "texts.safetensors")
    #expect(archive.safetensorsMetadata.count == 20)
    #expect(archive.safetensorsMetadata[15].value == text)
    #expect(archive.safetensorsMetadata[16].value == "(1048576 bytes of text)")
  }
}
