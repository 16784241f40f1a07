import ModelFiles
import TestSupport
import Testing

/// GGUF files in parts, as llama-gguf-split leaves them.
@Suite("Split GGUF files are opened as one")
struct SplitGGUFTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func part(
    _ number: Int, of count: UInt16, tensors: [String], total: Int32? = nil,
    metadata: [(String, GGUFTestValue)] = []
  ) -> [UInt8] {
    var builder = GGUFBuilder()
    for (key, value) in metadata { builder.set(key, value) }
    builder.set("split.no", .uint16(UInt16(number)))
    builder.set("split.count", .uint16(count))
    if let total { builder.set("split.tensors.count", .int32(total)) }
    for name in tensors { builder.add(name, [2], data: floatBytes([Float(number), 1])) }
    return builder.bytes
  }

  private func writeAll(hashes: [UInt64]? = nil) throws {
    let stored = hashes.map { hashes in
      (TensorHashes.key, GGUFTestValue.array(type: 10, hashes.map { .uint64($0) }))
    }
    // The first has the metadata and may have no tensor.
    try folder.write(
      part(
        0, of: 3, tensors: [], total: 3,
        metadata: [("general.name", .text("whole"))] + [stored].compactMap { $0 }),
      to: "m-00001-of-00003.gguf")
    try folder.write(
      part(1, of: 3, tensors: ["a", "b"], total: 3), to: "m-00002-of-00003.gguf")
    try folder.write(part(2, of: 3, tensors: ["c"], total: 3), to: "m-00003-of-00003.gguf")
  }

  @Test("whichever part is named", arguments: 1...3)
  func anyPart(_ number: Int) throws {
    try writeAll()
    let archive = try TensorArchive(path: folder.path("m-0000\(number)-of-00003.gguf"))
    #expect(archive.format == .splitGGUF && archive.files.count == 3)
    #expect(archive.tensors.records.map(\.name) == ["a", "b", "c"])
    #expect(archive.gguf?.value(for: "general.name")?.string == "whole")
    let values = try (0..<3).map { try archive.values(of: $0)[0] }
    #expect(values == [1, 1, 2])
  }

  @Test("hashes in the first part are those of all tensors")
  func hashes() throws {
    try writeAll(hashes: [7, 8, 9])
    let archive = try TensorArchive(path: folder.path("m-00002-of-00003.gguf"))
    #expect(try archive.tensorHashes() == [7, 8, 9])
  }

  @Test("a missing part is named")
  func missing() throws {
    try folder.write(part(0, of: 2, tensors: ["a"]), to: "m-00001-of-00002.gguf")
    let error = #expect(throws: ModelFileError.self) {
      try TensorArchive(path: folder.path("m-00001-of-00002.gguf"))
    }
    #expect(error?.kind == .notFound)
    #expect(error?.path.hasSuffix("m-00002-of-00002.gguf") == true)
  }

  @Test("a part under another name, or of another model, is refused with what to do")
  func wrongNames() throws {
    try folder.write(part(1, of: 2, tensors: ["a"]), to: "model.gguf")
    let renamed = #expect(throws: ModelFileError.self) {
      try TensorArchive(path: folder.path("model.gguf"))
    }
    #expect(renamed?.fault.contains("'-00002-of-00002.gguf'") == true)
    try folder.write(part(0, of: 2, tensors: ["a"]), to: "x-00001-of-00002.gguf")
    try folder.write(part(0, of: 2, tensors: ["b"]), to: "x-00002-of-00002.gguf")
    let other = #expect(throws: ModelFileError.self) {
      try TensorArchive(path: folder.path("x-00001-of-00002.gguf"))
    }
    #expect(other?.fault.contains("not part 2 of 2") == true)
    try folder.write(part(0, of: 2, tensors: ["a"], total: 3), to: "y-00001-of-00002.gguf")
    try folder.write(part(1, of: 2, tensors: ["b"]), to: "y-00002-of-00002.gguf")
    let short = #expect(throws: ModelFileError.self) {
      try TensorArchive(path: folder.path("y-00001-of-00002.gguf"))
    }
    #expect(short?.fault.contains("hold 2 tensors together") == true)
  }
}
