import ModelFiles
import TestSupport
import Testing

@Suite struct TensorArchiveTests {
  static let unknown: [MalformedFile] = [
    MalformedFile("empty", "is empty", []),
    MalformedFile("zip of pickles", "if it is a PyTorch pickle", Array("PK\u{3}\u{4}".utf8)),
    MalformedFile("bare pickle", "is a PyTorch pickle", [0x80, 2, 0x8A, 0x0A]),
    MalformedFile(
      "Git LFS pointer", "run 'git lfs pull'",
      Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\n".utf8)),
    MalformedFile("text", "is a text that begins with 'hello world'", Array("hello world".utf8)),
    MalformedFile("short magic", "is a text that begins with 'GGU'", Array("GGU".utf8)),
    MalformedFile("older magic", "that GGUF replaced", Array("ggmf".utf8)),
    MalformedFile("one byte", "is neither GGUF nor safetensors", [0]),
  ]

  @Test("Files of other kinds are refused with a hint", arguments: unknown)
  func unknownFormatsAreRefused(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "model.bin")
  }

  @Test(
    "Formats are told by content, whatever the name says",
    arguments: [
      "a.gguf", "a.safetensors", "a.bin", "a", "a.json",
    ])
  func formatsAreToldByContent(_ name: String) throws {
    let gguf = try openArchive(GGUFBuilder.sample.bytes, named: name)
    #expect(gguf.format == .gguf)
    #expect(gguf.gguf != nil)
    guard !name.hasSuffix(".json") else { return }
    let safetensors = try openArchive(SafetensorsBuilder.sample, named: name)
    #expect(safetensors.format == .safetensors)
    #expect(safetensors.gguf == nil)
  }

  @Test("A header of 123 bytes, whose length looks like a brace, is still safetensors")
  func headerLengthMayLookLikeABrace() throws {
    let header = "{\"__metadata__\":{\"a\":\"" + String(repeating: "x", count: 123 - 25) + "\"}}"
    let bytes = SafetensorsBuilder.file(header)
    try #require(bytes.first == UInt8(ascii: "{"))
    #expect(try openArchive(bytes, named: "a.bin").format == .safetensors)
  }

  @Test("Formats have names for the reader")
  func formatNames() {
    #expect(TensorArchive.Format.gguf.rawValue == "GGUF")
    #expect(TensorArchive.Format.safetensors.rawValue == "safetensors")
    #expect(TensorArchive.Format.shardedSafetensors.rawValue == "sharded safetensors")
  }

  @Test("Contents stay readable after the file is deleted")
  func contentsOutliveTheFile() throws {
    let archive = try openArchive(GGUFBuilder.sample.bytes, named: "a.gguf")
    let (bytes, file) = archive.contents(of: 0)
    #expect(Array(bytes) == floatBytes([1, 2, 3, 4, 5, 6]))
    #expect(file === archive.files[0])
    #expect(archive.byteCount == GGUFBuilder.sample.bytes.count)
  }

  @Test("Errors name the path and the fault")
  func errorsNameThePath() {
    let error = ModelFileError(path: "a/b", kind: .malformed, fault: "is empty")
    #expect(error.description == "a/b: is empty")
  }
}
