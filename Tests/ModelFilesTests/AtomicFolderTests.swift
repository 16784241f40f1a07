import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite struct AtomicFolderTests {
  private let parent: TemporaryFolder

  init() throws { parent = try TemporaryFolder() }

  private func names(_ path: String? = nil) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path ?? parent.path).sorted()
  }

  private func write(_ path: String, mayReplace: Bool = false, commits: Bool = true) throws {
    let folder = try AtomicFolder(path: path, byteCount: 2) { mayReplace }
    try AtomicFile.write([1, 2], to: try folder.file("deep/file"), overwrite: false)
    #expect(try names().contains { $0.hasPrefix(".") })
    if commits { #expect(try folder.commit() == nil) }
  }

  @Test("A folder appears whole, also over an empty one", arguments: ["new", "new/", "empty//"])
  func folders(_ name: String) throws {
    try FileManager.default.createDirectory(
      atPath: parent.path("empty"), withIntermediateDirectories: false)
    try write(parent.path + "/" + name)
    let plain = name.replacing("/", with: "")
    #expect(try names(parent.path(plain + "/deep")) == ["file"])
    #expect(try names() == (plain == "new" ? ["empty", "new"] : ["empty"]))
  }

  @Test("A folder that is not finished leaves nothing")
  func unfinished() throws {
    try write(parent.path("new"), commits: false)
    #expect(try names().isEmpty)
  }

  @Test("A folder with content stays unless it may be replaced")
  func replacement() throws {
    try parent.write([9], to: "old/file")
    let error = #expect(throws: ModelFileError.self) { try write(parent.path("old")) }
    #expect(error?.kind == .unwritable)
    #expect(try names(parent.path("old")) == ["file"])
    try write(parent.path("old"), mayReplace: true)
    #expect(try names(parent.path("old")) == ["deep"])
    #expect(try names() == ["old"])
  }

  @Test("What came into an empty folder while it was written stays, and so does what was written")
  func filledMeanwhile() throws {
    let path = parent.path("shared")
    let folder = try AtomicFolder(path: path, byteCount: 2) { true }
    try AtomicFile.write([1, 2], to: try folder.file("file"), overwrite: false)
    try parent.write([9], to: "shared/theirs")
    try parent.write([9], to: "shared-1/theirs")
    let rescued = try #require(try folder.commit())
    #expect(rescued.reason.kind == .unwritable && rescued.path == parent.path("shared-2"))
    #expect(try names(path) == ["theirs"])
    folder.discard()
    #expect(try names() == ["shared", "shared-1", "shared-2"])
    #expect(try names(parent.path("shared-2")) == ["file"])
  }

  @Test("Files, links, missing parents and empty names are refused")
  func refusals() throws {
    try parent.write([9], to: "file")
    try FileManager.default.createSymbolicLink(
      atPath: parent.path("link"), withDestinationPath: "nowhere")
    for path in [parent.path("file"), parent.path("link"), parent.path("missing/new"), "", "/"] {
      let error = #expect(throws: ModelFileError.self) { try write(path, mayReplace: true) }
      #expect(error?.kind == .unwritable)
    }
    #expect(try names() == ["file", "link"])
  }

  @Test("A folder that the disk cannot hold is refused")
  func fullDisk() throws {
    let error = #expect(throws: ModelFileError.self) {
      _ = try AtomicFolder(path: parent.path("new"), byteCount: 1 << 60) { false }
    }
    #expect(error?.fault.contains("MB free") == true)
    #expect(try names().isEmpty)
  }
}
