import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Paths of any bytes")
struct FileSystemTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// `caf\xE9`, which is no UTF-8.
  private let latin = FilePaths.text([0x63, 0x61, 0x66, 0xE9])

  @Test(
    "every name becomes a text and the same bytes again",
    arguments: [
      [0x61], [], [0xE9], [0xC3, 0xA9], [0xC3], [0xF4, 0x8F, 0xBF, 0xA9], [0xED, 0xA0, 0x80],
      [0xFF, 0xFE, 0x2F, 0x80], [0x65, 0xCC, 0x81], Array(0x80...0xFF),
    ] as [[UInt8]])
  func roundTrip(bytes: [UInt8]) {
    let text = FilePaths.text(bytes)
    #expect(FilePaths.bytes(text) == bytes)
    let isText = String(validating: bytes, as: UTF8.self) != nil
    #expect(isText || FilePaths.shown(text).contains("\\x"))
  }

  @Test("names are shown with their bytes")
  func shown() {
    #expect(FilePaths.shown(latin + ".png") == "caf\\xE9.png")
    #expect(FilePaths.shown("caf\u{E9}") == "caf\u{E9}")
  }

  @Test("paths are taken apart at slashes and dots")
  func parts() {
    #expect(FileSystem.folder(of: "a/b") == "a" && FileSystem.folder(of: "/b") == "/")
    #expect(FileSystem.folder(of: "b") == "." && FileSystem.name(of: "a/\u{301}b") == "\u{301}b")
    #expect(FileSystem.fileExtension(of: "a.b/C.GGUF") == "gguf")
    #expect(FileSystem.fileExtension(of: "a.b/c") == "" && FileSystem.fileExtension(of: ".a") == "")
    #expect(FileSystem.stem(of: "a/b.c/") == "b" && FileSystem.stem(of: "a/.b") == ".b")
    #expect(FileSystem.withoutTrailingSlashes("a//") == "a")
    #expect(FileSystem.withoutTrailingSlashes("//") == "/")
  }

  @Test("files and folders are made, found, renamed and removed by such names")
  func calls() throws {
    let top = FileSystem.join(folder.path, latin)
    let inner = FileSystem.join(top, latin + "/" + latin)
    try FolderMaking.make(inner)
    try FolderMaking.make(inner + "/")
    #expect(FileSystem.isFolder(inner) && FileSystem.names(in: folder.path) == [latin])
    let file = FileSystem.join(inner, latin)
    try AtomicFile.write([1, 2, 3], to: file, overwrite: false)
    #expect(FileSystem.content(of: file) == [1, 2, 3])
    #expect(FileIdentity.byteCount(of: file) == 3)
    try AtomicFile.write([4], to: file, overwrite: true)
    #expect(throws: ModelFileError.self) { try AtomicFile.write([5], to: file, overwrite: false) }
    #expect(FileSystem.descendants(of: top).count == 3)
    #expect(FileSystem.rename(file, file + "2") == 0 && !FileSystem.exists(file))
    let link = FileSystem.join(folder.path, "link")
    #expect(FilePaths.withSystemPath(latin + "/new") { symlink($0, link) } == 0)
    #expect(FileSystem.destination(of: link).hasSuffix(latin + "/new"))
    FileSystem.removeTree(top)
    #expect(FileSystem.names(in: folder.path) == ["link"] && FileSystem.linkStatus(link) != nil)
    #expect(FileSystem.status(link) == nil && errno == ENOENT)
  }
}
