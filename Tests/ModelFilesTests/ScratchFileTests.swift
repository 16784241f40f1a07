import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Files for what does not fit into memory")
struct ScratchFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private var path: String { folder.path("values.scratch") }

  private func size() throws -> Int? { FileSystem.status(path).map { Int($0.st_size) } }

  @Test("values come back, also to the next one who opens the file")
  func values() throws {
    let file = try ScratchFile(path: path, byteCount: 4000)
    #expect(file.isNew && file.byteCount == 4000)
    #expect(try size() == 4000)
    #expect(try file.floats(1000, at: 0) == [Float](repeating: 0, count: 1000))
    try file.write([1, -2.5, .greatestFiniteMagnitude], at: 0)
    try file.write([3, 4], at: 3992)
    try file.write([], at: 4000)
    try file.synchronize()
    for _ in 0..<2 {
      #expect(try file.floats(4, at: 0) == [1, -2.5, .greatestFiniteMagnitude, 0])
      #expect(try file.floats(3, at: 3988) == [0, 3, 4])
      #expect(try file.floats(0, at: 4000) == [])
    }
    #expect(try size() == 4000)
  }

  @Test("a file of the same size stays, one of another size is replaced by zeros")
  func sizes() throws {
    do {
      let file = try ScratchFile(path: path, byteCount: 400)
      try file.write([7], at: 4)
    }
    do {
      let same = try ScratchFile(path: path, byteCount: 400)
      #expect(!same.isNew)
      #expect(try same.floats(3, at: 0) == [0, 7, 0])
    }
    for byteCount in [800, 396] {
      let other = try ScratchFile(path: path, byteCount: byteCount)
      #expect(other.isNew)
      #expect(try size() == byteCount)
      #expect(try other.floats(99, at: 0).allSatisfy { $0 == 0 })
      try other.write([7], at: 4)
    }
  }

  @Test("what lies beyond the end or before the beginning is an error, not zeros")
  func outside() throws {
    let file = try ScratchFile(path: path, byteCount: 400)
    for (count, offset) in [(101, 0), (1, 400), (2, 396), (1, 1 << 40), (1, -4)] {
      let error = #expect(throws: ModelFileError.self, "\(count) at \(offset)") {
        _ = try file.floats(count, at: offset)
      }
      #expect(error?.path == path && error?.fault.hasPrefix("cannot read: ") == true)
    }
    #expect(throws: ModelFileError.self) { try file.write([1], at: -4) }
    #expect(try size() == 400)
  }

  @Test("names that cannot be had are refused, and links are not followed")
  func refusals() throws {
    #expect(symlink(folder.path("elsewhere"), folder.path("link")) == 0)
    try folder.write([], to: "folder/x")
    for name in ["missing/values.scratch", "link", "folder"] {
      let error = #expect(throws: ModelFileError.self, "\(name)") {
        _ = try ScratchFile(path: folder.path(name), byteCount: 400)
      }
      #expect(error?.path == folder.path(name) && error?.kind == .unwritable)
    }
    #expect(!FileSystem.exists(folder.path("elsewhere")))
  }

  @Test("more than the disk holds is refused at once, and nothing is left")
  func fullDisk() throws {
    let error = #expect(throws: ModelFileError.self) {
      _ = try ScratchFile(path: path, byteCount: 1 << 60)
    }
    #expect(error?.path == path)
    #expect(!FileSystem.exists(path))
  }
}
