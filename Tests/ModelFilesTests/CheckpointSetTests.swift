import BlockFormats
import ModelFiles
import TestSupport
import Testing

/// Every way in which checkpoints come in pieces.
@Suite("Files that belong together are opened together")
struct CheckpointSetTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A file of one tensor.
  private func write(_ name: String, _ tensor: String) throws {
    try folder.write(RawSafetensors.encode([.init(tensor, [1], [1])]), to: name)
  }

  private func writeIndex(_ name: String, _ places: [(tensor: String, file: String)]) throws {
    let map = places.map { "\"\($0.tensor)\":\"\($0.file)\"" }.joined(separator: ",")
    try folder.write(Array("{\"weight_map\":{\(map)}}".utf8), to: name)
  }

  private func names(_ file: String) throws -> [String] {
    try TensorArchive(path: folder.path(file)).tensors.records.map(\.name).sorted()
  }

  @Test(
    "shards without an index, whichever is named",
    arguments: [
      "model-0000#-of-00002.safetensors", "model.fp16-0000#-of-00002.safetensors",
      "model-0000#-of-00002.bf16.safetensors", "MODEL-#-of-2.SFT", "a.b-0#-of-02.safetensors",
    ])
  func withoutIndex(_ pattern: String) throws {
    let files = ["1", "2"].map { pattern.replacing("#", with: $0) }
    for (file, tensor) in zip(files, ["a", "b"]) { try write(file, tensor) }
    for file in files { #expect(try names(file) == ["a", "b"]) }
    let sets = CheckpointSet.all(in: folder.path)
    #expect(sets.count == 1 && sets.first?.isComplete == true)
  }

  @Test("a missing shard is named, whichever other one is opened")
  func missingShard() throws {
    try write("model-00001-of-00003.safetensors", "a")
    try write("model-00003-of-00003.safetensors", "c")
    let error = #expect(throws: ModelFileError.self) {
      try TensorArchive(path: folder.path("model-00003-of-00003.safetensors"))
    }
    #expect(error?.kind == .notFound)
    #expect(error?.fault.contains("model-00002-of-00003.safetensors") == true)
  }

  @Test(
    "the index counts where a shard is named that it lists",
    arguments: [
      "model.safetensors.index.json", "model.safetensors.index.fp16.json",
      "model.fp16.safetensors.index.json",
    ])
  func shardBesideIndex(_ index: String) throws {
    try write("model-00001-of-00002.safetensors", "a")
    try write("model-00002-of-00002.safetensors", "b")
    try writeIndex(
      index,
      [
        ("a", "model-00001-of-00002.safetensors"), ("b", "model-00002-of-00002.safetensors"),
      ])
    let archive = try TensorArchive(path: folder.path("model-00002-of-00002.safetensors"))
    #expect(archive.path == folder.path(index))
    #expect(archive.tensors.records.count == 2)
    #expect(CheckpointSet.all(in: folder.path).map(\.path) == [folder.path(index)])
  }

  @Test("an index whose files are gone gives way to a complete set of others")
  func staleIndex() throws {
    let index = "model.safetensors.index.json"
    try writeIndex(index, [("a", "model-00001-of-00002.safetensors"), ("b", "gone.safetensors")])
    let gone = #expect(throws: ModelFileError.self) { _ = try names(index) }
    #expect(gone?.kind == .notFound)
    for (number, tensor) in [(1, "x"), (2, "y"), (3, "z")] {
      try write("model-0000\(number)-of-00003.safetensors", tensor)
    }
    #expect(try names(index) == ["x", "y", "z"])
    let best = try #require(CheckpointSet.all(in: folder.path).first)
    #expect(best.isComplete && best.path.hasSuffix("-00001-of-00003.safetensors"))
    #expect(try names("model-00002-of-00003.safetensors") == ["x", "y", "z"])
  }

  @Test("an index that lists tensors which its files do not have gives way to a single file")
  func staleIndexBesideFile() throws {
    try write("model-00001-of-00001.safetensors", "other")
    try writeIndex("model.safetensors.index.json", [("a", "model-00001-of-00001.safetensors")])
    try write("model.safetensors", "whole")
    #expect(try names("model.safetensors.index.json") == ["whole"])
  }

  @Test("a whole file beside the rest of an old set is found first")
  func leftovers() throws {
    try write("model-00001-of-00002.safetensors", "old")
    try write("model.safetensors", "new")
    let sets = CheckpointSet.all(in: folder.path)
    #expect(sets.map(\.isComplete) == [true, false])
    #expect(sets.first?.path == folder.path("model.safetensors"))
  }

  @Test("of variants the plain one comes first, then those of more bits; known names before others")
  func order() throws {
    let expected = [
      "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bf16.safetensors",
      "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.ema.safetensors",
      "model.fp16.safetensors", "another.safetensors", "some.gguf",
    ]
    for name in expected.shuffled() { try write(name, "t") }
    try write(".hidden.safetensors", "t")
    #expect(CheckpointSet.all(in: folder.path).map { folder.name(of: $0.path) } == expected)
  }

  @Test("a name that claims a million files is no set of so many", .timeLimit(.minutes(1)))
  func hugeCount() throws {
    for number in 1...200 { try write("m\(number)-1-of-999999.safetensors", "a") }
    let sets = CheckpointSet.all(in: folder.path)
    #expect(sets.count == 200 && sets.count(where: \.isComplete) == 200)
  }

  @Test("an index without its ending is one too, and names what is missing")
  func indexByContent() throws {
    try writeIndex("0123abc", [("a", "gone.safetensors")])
    let error = #expect(throws: ModelFileError.self) { _ = try names("0123abc") }
    #expect(error?.kind == .notFound && error?.path.hasSuffix("gone.safetensors") == true)
  }

  @Test("tensors of one name in two shards without an index are refused")
  func duplicates() throws {
    try write("model-00001-of-00002.safetensors", "a")
    try write("model-00002-of-00002.safetensors", "a")
    let error = #expect(throws: ModelFileError.self) {
      _ = try names("model-00001-of-00002.safetensors")
    }
    #expect(error?.kind == .malformed && error?.fault.contains("'a' lies in two") == true)
  }
}

extension TemporaryFolder {
  fileprivate func name(of path: String) -> String { FileSystem.name(of: path) }
}
