import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite struct MappedFileTests {
  private func failure(_ path: String) -> ModelFileError? {
    #expect(throws: ModelFileError.self) { try MappedFile(path: path) }
  }

  @Test("A file's bytes are mapped as they are")
  func bytesAreMapped() throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let file = try MappedFile(path: try folder.write(bytes, to: "a"))
    #expect(file.copy() == bytes)
    #expect(file.path == folder.path("a"))
  }

  @Test("An empty file has no bytes")
  func emptyFile() throws {
    let folder = try TemporaryFolder()
    let file = try MappedFile(path: try folder.write([], to: "empty"))
    #expect(file.bytes.isEmpty)
    file.release(0..<0)
  }

  @Test("Missing paths are told apart from unreadable ones")
  func missingFiles() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write([1], to: "file")
    #expect(failure(folder.path("missing"))?.kind == .notFound)
    #expect(failure(folder.path("missing"))?.fault == "No such file or directory")
    #expect(failure(file + "/below")?.kind == .notFound)
    #expect(failure("")?.kind == .notFound)
    let long = folder.path(String(repeating: "x", count: 300))
    #expect(failure(long)?.kind == .unreadable)
    #expect(failure(long)?.fault == "File name too long")
    let loop = folder.path("loop")
    try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: loop)
    #expect(failure(loop)?.kind == .unreadable)
  }

  @Test("Folders, devices and pipes are no model files")
  func otherKindsAreRefused() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.path("pipe")
    try #require(mkfifo(pipe, 0o600) == 0)
    for path in [folder.path, "/dev/null", pipe] {
      let error = failure(path)
      #expect(error?.kind == .malformed)
      #expect(error?.fault == "is not a regular file")
    }
  }

  @Test("A symbolic link leads to its file")
  func linksAreFollowed() throws {
    let folder = try TemporaryFolder()
    try folder.write([1, 2, 3], to: "file")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("link"), withDestinationPath: "file")
    #expect(try MappedFile(path: folder.path("link")).copy() == [1, 2, 3])
  }

  @Test(
    "Released pages read the same again",
    arguments: [
      0..<0, 0..<1, 0..<4096, 1..<8191, 4096..<12_288, 0..<20_000, 0..<100_000, 19_999..<20_000,
    ])
  func releasedPagesComeBack(_ range: Range<Int>) throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let file = try MappedFile(path: try folder.write(bytes, to: "a"))
    #expect(file.copy() == bytes)
    file.release(range)
    #expect(file.copy() == bytes)
  }

  @Test("Metadata longer than the release interval is read whole")
  func longMetadataIsRead() throws {
    let text = String(repeating: "0123456789abcdef", count: 1 << 16)
    var builder = GGUFBuilder()
    for index in 0..<20 { builder.set("text.\(index)", .text(text + "\(index)")) }
    builder.set("all", .array(type: 8, (0..<20).map { .text(text + "\($0)") }))
    builder.add("t", [1], data: floatBytes([5]))
    let archive = try openArchive(builder.bytes, named: "a.gguf")
    let gguf = try #require(archive.gguf)
    for index in 0..<20 { #expect(gguf.value(for: "text.\(index)")?.string == text + "\(index)") }
    let elements = try #require(gguf.value(for: "all")?.elements())
    #expect(elements.map { $0.string?.suffix(2) } == (0..<20).map { "\(text)\($0)".suffix(2) })
    #expect(try archive.tensor("t").bytes == floatBytes([5]))
  }
}

extension MappedFile {
  /// The bytes, copied while the object surely lives.
  fileprivate func copy() -> [UInt8] { withExtendedLifetime(self) { Array(bytes) } }
}
