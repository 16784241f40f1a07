import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Finished files that cannot have their names")
struct RescuedFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func read(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  private func names(in name: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path(name)).sorted()
  }

  private func write(_ name: String, overwrite: Bool = false) throws -> RescuedFile? {
    try RescuedFile.write([1, 2], to: folder.path(name), overwrite: overwrite, ending: ".png")
  }

  @Test(
    "a name that is in use gets the next free number",
    arguments: [
      ("a.png", "a-3.png"), ("a", "a-3"), (".png", ".png-3"), ("a.b.png", "a.b-3.png"),
      ("é a.png", "é a-3.png"),
    ])
  func numbers(_ name: String, _ expected: String) throws {
    #expect(try write(name) == nil)
    for number in 1...3 {
      let rescued = try #require(try write(name))
      #expect(rescued.reason.kind == .unwritable)
      let place = rescued.path
      #expect(
        rescued.note == "\(folder.path(name)): exists already; written to \(place) instead")
      #expect(try read(place) == [1, 2])
      #expect(number < 3 || place == folder.path(expected))
    }
    #expect(try names().count == 4)
    #expect(try write(name, overwrite: true) == nil)
  }

  @Test("a number fits into the longest name")
  func longNames() throws {
    let name = String(repeating: "é", count: 125) + ".png"
    #expect(try write(name) == nil)
    let rescued = try #require(try write(name))
    #expect(
      rescued.path.hasSuffix("é-1.png") && rescued.path.utf8.count < folder.path.utf8.count + 257)
    // A link that leads nowhere has its name too.
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("b-1.png"), withDestinationPath: "nowhere")
    try folder.write([9], to: "b.png")
    #expect(try write("b.png")?.path == folder.path("b-2.png"))
  }

  @Test("what the folder no longer takes goes to the working or the temporary folder")
  func otherFolders() throws {
    let name = "rescued-\(UUID().uuidString).png"
    let rescued = try #require(try write("gone/\(name)"))
    defer { unlink(rescued.path) }
    #expect(rescued.path == name)
    #expect(try read(rescued.path) == [1, 2])
    let again = try #require(try write("gone/\(name)"))
    defer { unlink(again.path) }
    #expect(again.path == name.replacing(".png", with: "-1.png"))
  }

  @Test("what a device does not take becomes a file; its name gets an ending")
  func devices() throws {
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let rescued = try #require(try write("pipe"))
    defer { unlink(rescued.path) }
    #expect(rescued.path.hasPrefix("pipe") && rescued.path.hasSuffix(".png"))
    #expect(try read(rescued.path) == [1, 2])
    #expect(try names() == ["pipe"])
  }

  @Test("faults of the content are no reason to write it elsewhere")
  func otherFaults() throws {
    #expect(throws: ModelFileError(path: "a", kind: .malformed, fault: "x")) {
      _ = try RescuedFile.writing(to: folder.path("a"), overwrite: true, ending: "") {
        _, _ throws(ModelFileError) in
        throw ModelFileError(path: "a", kind: .malformed, fault: "x")
      }
    }
    var tries = 0
    let lost = #expect(throws: ModelFileError.self) {
      _ = try RescuedFile.writing(to: folder.path("a"), overwrite: true, ending: "") {
        path, _ throws(ModelFileError) in
        tries += 1
        throw ModelFileError(path: path, kind: .unwritten, fault: "x")
      }
    }
    #expect(lost?.path == folder.path("a"))
    #expect(lost?.fault == "x; no other place takes it: it is lost" && tries > 2)
  }

  // MARK: Streams

  private func stream(_ name: String, overwrite: Bool = false) throws -> AtomicFileStream {
    let stream = try AtomicFileStream(path: folder.path(name), overwrite: overwrite)
    try write("abc", to: stream)
    return stream
  }

  private func write(_ text: String, to stream: AtomicFileStream) throws {
    try Array(text.utf8).withUnsafeBytes { try stream.write($0) }
  }

  @Test("a stream whose name was taken meanwhile keeps what is finished beside it")
  func takenStream() throws {
    let (first, second) = (try stream("a.gguf"), try stream("a.gguf"))
    #expect(try first.commitAnywhere() == nil)
    let rescued = try #require(try second.commitAnywhere())
    #expect(rescued.path == folder.path("a-1.gguf") && rescued.note.contains("meanwhile; written"))
    #expect(try names() == ["a-1.gguf", "a.gguf"])
    #expect(try read(rescued.path) == Array("abc".utf8))
  }

  @Test("a stream whose name became a folder's is kept beside it, even if it may replace files")
  func folderStream() throws {
    let stream = try stream("a.gguf", overwrite: true)
    try folder.write([9], to: "a.gguf/file")
    #expect(try stream.commitAnywhere()?.path == folder.path("a-1.gguf"))
    #expect(try names() == ["a-1.gguf", "a.gguf"])
  }

  @Test("a stream whose folder was removed with it is written again elsewhere")
  func removedStream() throws {
    let name = "rescued-\(UUID().uuidString).gguf"
    try folder.write([9], to: "sub/other")
    let stream = try stream("sub/\(name)")
    try FileManager.default.removeItem(atPath: folder.path("sub"))
    let rescued = try #require(try stream.commitAnywhere())
    defer { unlink(rescued.path) }
    #expect(rescued.path == name)
    #expect(try read(rescued.path) == Array("abc".utf8))
  }

  @Test("a reader that goes away is an error, not the end of the program")
  func brokenPipe() throws {
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let reader = open(folder.path("pipe"), O_RDONLY | O_NONBLOCK)
    let stream = try AtomicFileStream(path: folder.path("pipe"), overwrite: false)
    close(reader)
    let error = #expect(throws: ModelFileError.self) {
      try write("abc", to: stream)
    }
    #expect(error?.kind == .unwritten && error?.fault.contains("Broken pipe") == true)
  }
}
