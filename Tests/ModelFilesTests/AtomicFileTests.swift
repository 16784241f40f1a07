import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite struct AtomicFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func read(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  private func names(in path: String? = nil) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path ?? folder.path).sorted()
  }

  /// Expects that checking and writing both refuse a path for the same reason and leave nothing.
  private func expectRefusal(_ path: String, overwrite: Bool = true, _ message: String? = nil)
    throws
  {
    let before = try names()
    let check = #expect(throws: ModelFileError.self, "check") {
      try AtomicFile.check(path, overwrite: overwrite)
    }
    let write = #expect(throws: ModelFileError.self, "write") {
      try AtomicFile.write([1, 2], to: path, overwrite: overwrite)
    }
    for error in [check, write] {
      #expect(error?.kind == .unwritable)
      #expect(error?.path == path)
      if let message {
        #expect(error?.fault.contains(message) == true, "\(error?.fault ?? "")")
      }
    }
    #expect(try names() == before)
  }

  @Test("A file is written whole and nothing else is left", arguments: [0, 1, 100_000])
  func filesAreWritten(_ count: Int) throws {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    let path = folder.path("picture é.png")
    try AtomicFile.write(bytes, to: path, overwrite: false)
    #expect(try read(path) == bytes)
    #expect(try names() == ["picture é.png"])
  }

  @Test("A check leaves nothing behind and does not touch an old file")
  func checksLeaveNothing() throws {
    try AtomicFile.check(folder.path("new"), overwrite: false)
    #expect(try names().isEmpty)
    let path = try folder.write([9], to: "old")
    try AtomicFile.check(path, overwrite: true)
    #expect(try read(path) == [9])
    #expect(try names() == ["old"])
  }

  @Test("An existing file is kept unless it may be replaced")
  func existingFilesAreKept() throws {
    let path = try folder.write([9, 9, 9], to: "old")
    try expectRefusal(path, overwrite: false, "exists already: pass --force")
    #expect(try read(path) == [9, 9, 9])
    try AtomicFile.write([1], to: path, overwrite: true)
    #expect(try read(path) == [1])
    #expect(try names() == ["old"])
  }

  @Test("A folder is no target")
  func foldersAreRefused() throws {
    let path = folder.path("sub")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    try expectRefusal(path, "is a folder")
    try expectRefusal(path + "/", "is a folder")
    try expectRefusal(folder.path, "is a folder")
    #expect(try names(in: path).isEmpty)
  }

  @Test("A missing folder is not made")
  func missingFoldersAreRefused() throws {
    try expectRefusal(folder.path("missing/file"), "No such file or directory")
    try folder.write([1], to: "plain")
    try expectRefusal(folder.path("plain/file"), "Not a directory")
  }

  @Test("A path that ends in a slash but names no folder is refused before any work")
  func trailingSlashIsRefused() throws {
    try expectRefusal(folder.path("new") + "/")
  }

  @Test("An empty path is refused before any work")
  func emptyPathIsRefused() throws { try expectRefusal("") }

  @Test("Names up to 255 bytes are written, longer ones refused")
  func longNames() throws {
    for name in [String(repeating: "x", count: 255), String(repeating: "é", count: 127)] {
      let path = folder.path(name)
      try AtomicFile.check(path, overwrite: false)
      try AtomicFile.write([1], to: path, overwrite: false)
      #expect(try read(path) == [1])
    }
    #expect(try names().count == 2)
    try expectRefusal(folder.path(String(repeating: "x", count: 256)), "File name too long")
  }

  @Test("A symbolic link stays and its target is replaced")
  func linksAreKept() throws {
    let target = try folder.write([9], to: "deep/target")
    let link = folder.path("link")
    try FileManager.default.createSymbolicLink(
      atPath: link, withDestinationPath: "deep/target")
    try expectRefusal(link, overwrite: false, "exists already")
    try AtomicFile.write([1, 2], to: link, overwrite: true)
    #expect(try read(target) == [1, 2])
    #expect(
      try FileManager.default.destinationOfSymbolicLink(atPath: link) == "deep/target")
    #expect(try names(in: folder.path("deep")) == ["target"])
  }

  @Test("A device is written in place and stays a device")
  func devicesAreKept() throws {
    try AtomicFile.check("/dev/null", overwrite: false)
    try AtomicFile.write([1, 2, 3], to: "/dev/null", overwrite: false)
    var status = stat()
    try #require(stat("/dev/null", &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFCHR)
  }

  @Test("A full device is an error")
  func fullDevice() {
    let error = #expect(throws: ModelFileError.self) {
      try AtomicFile.write([1, 2, 3], to: "/dev/full", overwrite: false)
    }
    #expect(error?.kind == .unwritten)
    #expect(error?.fault.hasPrefix("cannot write 3 bytes: ") == true)
    let early = #expect(throws: ModelFileError.self) {
      try AtomicFile.check("/dev/full", overwrite: false)
    }
    #expect(early?.kind == .unwritable)
  }

  // MARK: Others at work

  private func layout(_ path: String) throws -> TensorFileLayout {
    try GGUFWriter.layout(metadata: [], tensors: [], path: path)
  }

  @Test("A file that someone creates meanwhile is not lost unless it may be replaced")
  func createdMeanwhile() throws {
    let path = folder.path("out.gguf")
    let careful = try AtomicFileStream(path: path, overwrite: false)
    let bold = try AtomicFileStream(path: path, overwrite: true)
    try folder.write([42], to: "out.gguf")
    let error = #expect(throws: ModelFileError.self) { try careful.commit() }
    #expect(error?.kind == .unwritable && error?.fault.contains("--force") == true)
    #expect(try read(path) == [42])
    try bold.commit()
    #expect(try read(path) == [])
    #expect(try names(in: folder.path) == ["out.gguf"])
  }

  @Test("What killed runs left of a file goes with the next one; files that live stay")
  func leftovers() throws {
    let path = folder.path("out.gguf")
    // Other files, other names and what is still written by someone.
    let stays = [
      ".other.gguf.tmp-1-2", ".out.gguf.tmp-1", ".out.gguf.tmp-1-2-3", ".out.gguf.tmp-a-2",
      "out.gguf.tmp-1-2",
    ]
    for name in stays + [".out.gguf.tmp-1-2", ".out.gguf.tmp-4294967295-0"] {
      try folder.write([1], to: name)
    }
    #expect(mkdir(folder.path(".out.gguf.tmp-7-7"), 0o755) == 0)
    let other = try AtomicFileStream(path: path, overwrite: true)
    try TensorFileWriter(path: path, overwrite: false, layout: try layout(path)).finish()
    let left = try names(in: folder.path)
    #expect(left.count == stays.count + 3)
    #expect(Set(stays + ["out.gguf", ".out.gguf.tmp-7-7"]).isSubset(of: left))
    try other.commit()
    #expect(try names(in: folder.path).count == stays.count + 2)
  }

  @Test("More than the disk has is refused before anything is written")
  func hugeFile() throws {
    let error = #expect(throws: ModelFileError.self) {
      _ = try AtomicFileStream(
        path: folder.path("out"), overwrite: false, byteCount: 1 << 60)
    }
    #expect(error?.kind == .unwritable && error?.fault.contains("MB") == true)
    #expect(try names(in: folder.path).isEmpty)
  }
}
