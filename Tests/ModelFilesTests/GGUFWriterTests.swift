import BlockFormats
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func bytes(_ count: Int, from start: Int = 0) -> [UInt8] {
    (start..<start + count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
  }

  /// Writes contents in pieces of a size.
  private func write(
    _ contents: [[UInt8]], _ layout: TensorFileLayout, to path: String, pieces: Int
  ) throws {
    let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
    for content in contents {
      for start in stride(from: 0, to: content.count, by: pieces) {
        try content[start..<min(content.count, start + pieces)].withUnsafeBytes {
          try writer.write($0)
        }
      }
    }
    try writer.finish()
  }

  private let tensors = [
    TensorDeclaration(name: "odd", type: .f16, shape: [3, 5]),
    TensorDeclaration(name: "none", type: .f32, shape: [0, 4]),
    TensorDeclaration(name: "blocks", type: .q4_K, shape: [2, 512]),
    TensorDeclaration(name: "scalar", type: .f32, shape: []),
    TensorDeclaration(name: "deep é", type: .bf16, shape: [2, 3, 1, 7]),
  ]

  @Test("Tensors and metadata are read back", arguments: [1, 7, 1000])
  func filesAreReadBack(_ pieces: Int) throws {
    let path = folder.path("a.gguf")
    let layout = try GGUFWriter.layout(
      metadata: [
        ("text", .string("é\u{0}")), ("no", .bool(false)), ("small", .uint32(7)),
        ("minus", .int32(-7)), ("big", .uint64(.max)), ("pi", .float32(3.25)),
        ("texts", .strings(["a", "", "ß"])), ("numbers", .int32s([1, -2])),
        ("scores", .float32s([0.5, -1])),
      ], tensors: tensors, path: path)
    let contents = tensors.enumerated().map { bytes($1.byteCount ?? 0, from: $0 * 100) }
    try write(contents, layout, to: path, pieces: pieces)

    let archive = try TensorArchive(path: path)
    #expect(archive.byteCount == layout.byteCount)
    #expect(archive.tensors.records.map(\.name) == tensors.map(\.name))
    #expect(archive.tensors.records.map(\.shape) == tensors.map(\.shape))
    #expect(archive.tensors.records.map(\.type) == tensors.map(\.type))
    for (index, content) in contents.enumerated() {
      #expect([UInt8](archive.contents(of: index).bytes) == content)
      #expect(archive.tensors.records[index].byteOffset % GGUFWriter.alignment == 0)
    }
    let gguf = try #require(archive.gguf)
    #expect(gguf.value(for: "text")?.string == "é\u{0}")
    #expect(gguf.value(for: "no")?.bool == false)
    #expect(gguf.value(for: "small")?.integer == 7)
    #expect(gguf.value(for: "minus")?.integer == -7)
    #expect(gguf.value(for: "big")?.unsigned == .max)
    #expect(gguf.value(for: "pi")?.double == 3.25)
    #expect(gguf.value(for: "texts")?.elements()?.map(\.string) == ["a", "", "ß"])
    #expect(gguf.value(for: "numbers")?.elements()?.map(\.integer) == [1, -2])
    #expect(gguf.value(for: "scores")?.elements()?.map(\.double) == [0.5, -1])
  }

  @Test("Metadata of another file is copied byte by byte")
  func metadataIsCopied() throws {
    let source = try TensorArchive(
      path: Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path)
    let original = try #require(source.gguf)
    let pairs = original.metadata.map { (key: $0.key, value: GGUFWriter.Value.copy($0.value)) }
    let listed = ("list", GGUFWriter.Value.strings(["x", "yz"]))
    let first = folder.path("first.gguf")
    let layout = try GGUFWriter.layout(metadata: pairs + [listed], tensors: [], path: first)
    try write([], layout, to: first, pieces: 1)
    let copied = try #require(try TensorArchive(path: first).gguf)
    for (key, value) in original.metadata {
      #expect(copied.value(for: key)?.type == value.type)
      #expect(copied.value(for: key)?.string == value.string)
      #expect(copied.value(for: key)?.double == value.double)
    }
    let second = folder.path("second.gguf")
    let again = try GGUFWriter.layout(
      metadata: copied.metadata.map { ($0.key, .copy($0.value)) }, tensors: [], path: second)
    try write([], again, to: second, pieces: 1)
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: first))
        == Data(contentsOf: URL(fileURLWithPath: second)))
  }

  @Test(
    "What GGUF cannot hold is refused by name",
    arguments: [
      (TensorDeclaration(name: "t", type: .q4_K, shape: [256, 100]), "Q4_K"),
      (TensorDeclaration(name: "t", type: .f32, shape: [.max, .max]), "F32"),
      (TensorDeclaration(name: "t", type: .f32, shape: [-1]), "[-1]"),
      (TensorDeclaration(name: "t", type: .c64, shape: [1]), "C64"),
      (TensorDeclaration(name: "t", type: .f32, shape: [1, 1, 1, 1, 1]), "dimensions"),
      (TensorDeclaration(name: "", type: .f32, shape: [1]), "empty"),
      (
        TensorDeclaration(name: String(repeating: "n", count: 64), type: .f32, shape: [1]),
        "63 bytes"
      ),
    ])
  func refusals(_ tensor: TensorDeclaration, _ message: String) {
    let error = #expect(throws: ModelFileError.self) {
      _ = try GGUFWriter.layout(metadata: [], tensors: [tensor], path: "x.gguf")
    }
    #expect(error?.path == "x.gguf" && error?.kind == .unsupported)
    #expect(error?.fault.contains(message) == true, "\(error?.fault ?? "")")
  }

  @Test("A name that is declared twice is refused")
  func duplicates() {
    let tensor = TensorDeclaration(name: "t", type: .f32, shape: [1])
    let error = #expect(throws: ModelFileError.self) {
      _ = try GGUFWriter.layout(metadata: [], tensors: [tensor, tensor], path: "x.gguf")
    }
    #expect(error?.fault.contains("twice") == true)
  }

  @Test("Until it is finished a file has no name, and an unfinished one leaves nothing")
  func unfinishedFiles() throws {
    let path = try folder.write([9], to: "a.gguf")
    let layout = try GGUFWriter.layout(metadata: [], tensors: tensors, path: path)
    do {
      let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
      try bytes(30).withUnsafeBytes { try writer.write($0) }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 2)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["a.gguf"])
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([9]))
  }

  @Test("A file that the disk cannot hold is refused before anything is written")
  func fullDisk() throws {
    let path = folder.path("a.gguf")
    let layout = try GGUFWriter.layout(
      metadata: [],
      tensors: [TensorDeclaration(name: "huge", type: .f32, shape: [1 << 28, 1 << 28])], path: path)
    let error = #expect(throws: ModelFileError.self) {
      _ = try TensorFileWriter(path: path, overwrite: false, layout: layout)
    }
    #expect(error?.kind == .unwritable && error?.path == path)
    #expect(error?.fault.contains("MB free") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }
}
