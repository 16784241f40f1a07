import BlockFormats
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Hashes of tensors in files")
struct TensorHashesTests {
  private let folder: TemporaryFolder
  private let tensors = [
    TensorDeclaration(name: "large", type: .f32, shape: [3, 700]),
    TensorDeclaration(name: "none", type: .f32, shape: [0]),
    TensorDeclaration(name: "small", type: .f16, shape: [5]),
  ]

  init() throws { folder = try TemporaryFolder() }

  private var contents: [[UInt8]] {
    tensors.enumerated().map { index, tensor in
      (0..<(tensor.byteCount ?? 0)).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ index) }
    }
  }

  private var expected: [UInt64] { contents.map { $0.withUnsafeBytes { XXHash64.hash($0) } } }

  private func write(_ layout: TensorFileLayout, to path: String, pieces: Int = 1000) throws {
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for content in contents {
      for start in stride(from: 0, to: content.count, by: pieces) {
        try content[start..<min(content.count, start + pieces)].withUnsafeBytes {
          try writer.write($0)
        }
      }
    }
    try writer.finish()
  }

  private func layout(_ name: String, metadata: [(String, String)] = []) throws -> TensorFileLayout
  {
    name.hasSuffix(".gguf")
      ? try GGUFWriter.layout(
        metadata: metadata.map { ($0.0, .string($0.1)) }, tensors: tensors, storesHashes: true,
        path: name)
      : try SafetensorsWriter.layout(
        tensors, metadata: metadata.map { ($0.0, $0.1) }, storesHashes: true, path: name)
  }

  @Test(
    "are those of the contents, in any pieces, beside other metadata",
    arguments: ["a.gguf", "a.safetensors"], [1, 33, 1000])
  func roundTrip(_ name: String, _ pieces: Int) throws {
    try write(try layout(name, metadata: [("k\"ey", "é")]), to: folder.path(name), pieces: pieces)
    let archive = try TensorArchive(path: folder.path(name))
    #expect(try archive.tensorHashes() == expected)
    for (index, content) in contents.enumerated() {
      #expect(try archive.copy(of: index) == content)
    }
  }

  @Test("of a sharded set come from the files that hold the tensors")
  func shards() throws {
    for (file, declarations) in [("1", [tensors[0]]), ("2", [tensors[1], tensors[2]])] {
      let path = folder.path("\(file).safetensors")
      let layout = try SafetensorsWriter.layout(
        declarations, storesHashes: file == "2", path: path)
      let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
      for tensor in declarations {
        let index = try #require(tensors.firstIndex { $0.name == tensor.name })
        try contents[index].withUnsafeBytes { try writer.write($0) }
      }
      try writer.finish()
    }
    let map = #"{"weight_map":{"large":"1.safetensors","small":"2.safetensors","#
    let path = try folder.write(
      Array((map + #""none":"2.safetensors"}}"#).utf8), to: "m.safetensors.index.json")
    let archive = try TensorArchive(path: path)
    let hashes = try archive.tensorHashes()
    for (index, record) in archive.tensors.records.enumerated() {
      let place = try #require(tensors.firstIndex { $0.name == record.name })
      #expect(hashes[index] == (record.name == "large" ? nil : expected[place]))
    }
  }

  @Test("are left out of what is written into a pipe", arguments: ["a.gguf", "a.safetensors"])
  func pipes(_ name: String) throws {
    let pipe = folder.path("pipe")
    #expect(mkfifo(pipe, 0o600) == 0)
    let copy = folder.path(name)
    let reader = Process()
    reader.executableURL = URL(fileURLWithPath: "/bin/sh")
    reader.arguments = ["-c", "cat \"$1\" > \"$2\"", "sh", pipe, copy]
    try reader.run()
    // Opening without a reader is refused: wait for it.
    var attempt = Result { try write(try layout(name), to: pipe) }
    for _ in 0..<500 {
      guard case .failure = attempt else { break }
      usleep(10_000)
      attempt = Result { try write(try layout(name), to: pipe) }
    }
    try attempt.get()
    reader.waitUntilExit()
    let archive = try TensorArchive(path: copy)
    #expect(try archive.tensorHashes() == [nil, nil, nil])
    #expect(try archive.copy(of: 0) == contents[0])
  }

  @Test("of another number or form are refused")
  func malformed() throws {
    let declared = Array(tensors.prefix(1))
    let values: [GGUFWriter.Value] = [.string("00"), .int32s([1]), .uint64(5), .strings(["a"])]
    for (index, value) in values.enumerated() {
      let path = folder.path("\(index).gguf")
      let layout = try GGUFWriter.layout(
        metadata: [(TensorHashes.key, value)], tensors: declared, path: path)
      let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
      try contents[0].withUnsafeBytes { try writer.write($0) }
      try writer.finish()
      let archive = try TensorArchive(path: path)
      let error = #expect(throws: ModelFileError.self) { try archive.tensorHashes() }
      #expect(error?.fault.contains("uint64") == true, "\(error?.fault ?? "")")
    }
    let digits = String(repeating: "0123456789abcdeF", count: 2)
    for (text, fault) in [
      (digits, "2 hashes for 1 tensors"), ("", "0 hashes for 1 tensors"),
      ("0123456789abcdef0", "digits"), ("0123456789abcdeg", "digits"),
    ] {
      let bytes = SafetensorsWriter.encode(
        [.init(name: "t", shape: [1], values: [1])], metadata: [(TensorHashes.key, text)])
      let archive = try TensorArchive(path: try folder.write(bytes, to: "b.safetensors"))
      let error = #expect(throws: ModelFileError.self) { try archive.tensorHashes() }
      #expect(error?.fault.contains(fault) == true, "\(error?.fault ?? "")")
    }
  }
}
