import ModelFiles
import TestSupport
import Testing

/// What lies under a model's name when a download went wrong.
@Suite("Files are told by their content, whatever their name")
struct FileKindTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let message: String

    init(_ text: String, _ message: String) {
      self.init(String(text.prefix(20)), Array(text.utf8), message)
    }

    init(_ name: String, _ bytes: [UInt8], _ message: String) {
      testDescription = name
      self.bytes = bytes
      self.message = message
    }
  }

  static let cases = [
    Case(
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 6886000000\n",
      "Git LFS pointer, not the model itself (6.8 GB): run 'git lfs pull'"),
    Case("<!DOCTYPE html>\n<html><head><title>Sign in</title></head>", "a web page ('Sign in')"),
    Case("\u{FEFF}  \n<html lang=en><body>", "a web page"),
    Case("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML text"),
    Case(
      "coloured text",
      Array("failed: \u{1B}[31mred\u{1B}[0m text of some length, then more and more\n".utf8),
      "a text"),
    Case("UTF-16", [0xFF, 0xFE] + "<html><body>hello</body>".utf8.flatMap { [$0, 0] }, "UTF-16"),
    Case("Entry not found\n", "a text that begins with 'Entry not found'"),
    Case("{\"error\":\"Repository not found\"}", "JSON text that begins with '{\"error\""),
    Case(
      "zip", Array("PK\u{3}\u{4}".utf8) + [0] + Array("archive/data.pkl".utf8), "PyTorch pickle"),
    Case(
      "a zip of others", Array("PK\u{3}\u{4}model/readme.txt".utf8),
      "a zip archive: unpack it, or take"),
    Case("pickle", [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46], "PyTorch pickle"),
    Case("zeros", Array(repeating: 0, count: 100_000), "holds zeros instead of a model"),
    Case("gzip", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3], "compressed by gzip"),
    Case("picture", [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A, 0], "a PNG picture"),
    Case("old ggml", Array("tjgg".utf8) + Array(repeating: 1, count: 20), "GGUF replaced"),
    Case("nothing", [], "is empty"),
  ]

  @Test(
    "under a name that says otherwise", arguments: cases,
    ["model.safetensors", "model.gguf", "model.sft", "blob"])
  func strange(_ kind: Case, _ name: String) throws {
    try MalformedFile(kind.testDescription, kind.message, kind.bytes).expectRefusal(named: name)
  }

  @Test("a text of eight bytes before a brace is no header length")
  func braceInText() throws {
    try MalformedFile("", "a text that begins", Array("function{ return 1 }".utf8))
      .expectRefusal(named: "model.safetensors")
  }

  @Test(
    "unknown bytes are judged by the ending", arguments: [("gguf", "'GGUF'"), ("bin", "neither")])
  func unknown(_ ending: String, _ message: String) throws {
    let bytes: [UInt8] = [0x90, 0x91, 0xFF, 0xFE, 1, 2, 3, 4, 5, 6]
    try MalformedFile("", message, bytes).expectRefusal(named: "model.\(ending)")
  }

  @Test("metadata that is null is none, as for the reference reader")
  func nullMetadata() throws {
    let header =
      #"{"__metadata__":null,"# + SafetensorsBuilder.entry("a", "F32", [1], [0, 4]) + "}"
    let archive = try openArchive(
      SafetensorsBuilder.file(header, data: [0, 0, 0, 0]), named: "a.safetensors")
    #expect(archive.safetensorsMetadata.isEmpty && archive.tensors.records.count == 1)
  }
}
