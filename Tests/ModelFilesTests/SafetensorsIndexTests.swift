import ModelFiles
import TestSupport
import Testing

@Suite struct SafetensorsIndexTests {
  private static let name = "model.safetensors.index.json"

  /// A folder with two shards: `a` and `b` in the first, `c` in the second.
  private func shards() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let first = SafetensorsWriter.encode(
      [.init(name: "a", shape: [1], values: [1]), .init(name: "b", shape: [2], values: [2, 3])],
      metadata: [("format", "pt"), ("only", "first")])
    let second = SafetensorsWriter.encode(
      [.init(name: "c", shape: [1], values: [4])], metadata: [("format", "np"), ("late", "x")])
    try folder.write(first, to: "1.safetensors")
    try folder.write(second, to: "2.safetensors")
    return folder
  }

  private func write(_ text: String, in folder: TemporaryFolder) throws -> String {
    try folder.write(Array(text.utf8), to: Self.name)
  }

  @Test("An index joins the tensors of its shards, in its own order")
  func shardsAreJoined() throws {
    let folder = try shards()
    let path = try write(
      #"""
      {"metadata": {"total_size": 16, "x": [null]},
       "weight_map": {"c": "2.safetensors", "a": "1.safetensors", "b": "1.safetensors"}}
      """#, in: folder)
    let archive = try TensorArchive(path: path)
    #expect(archive.format == .shardedSafetensors)
    #expect(archive.path == path)
    #expect(archive.tensors.records.map(\.name) == ["c", "a", "b"])
    #expect(try archive.tensor("a").bytes == floatBytes([1]))
    #expect(try archive.tensor("b").bytes == floatBytes([2, 3]))
    #expect(try archive.tensor("c").bytes == floatBytes([4]))
    #expect(archive.files.count == 2)
    #expect(archive.byteCount == archive.files.reduce(0) { $0 + $1.bytes.count })
    let pairs = archive.safetensorsMetadata.map { "\($0.key)=\($0.value)" }
    #expect(pairs == ["format=np", "late=x", "only=first"])
  }

  @Test("Tensors of a shard that the index leaves out follow the others, as the reference has it")
  func omittedTensorsAreThere() throws {
    let folder = try shards()
    let path = try write(#"{"weight_map":{"b":"1.safetensors"}}"#, in: folder)
    let archive = try TensorArchive(path: path)
    #expect(archive.tensors.records.map(\.name) == ["b", "a"])
    #expect(archive.unlistedCount == 1)
    #expect(try archive.tensor("a").bytes == floatBytes([1]))
    #expect(archive.files.count == 1)
  }

  @Test("Of two tensors of one name the listed one counts; without a listed one it is refused")
  func copiesInTwoShards() throws {
    let folder = try shards()
    let copies = SafetensorsWriter.encode([
      .init(name: "a", shape: [1], values: [7]), .init(name: "d", shape: [1], values: [8]),
    ])
    try folder.write(copies, to: "3.safetensors")
    let path = try write(
      #"{"weight_map":{"b":"1.safetensors","a":"3.safetensors"}}"#, in: folder)
    let archive = try TensorArchive(path: path)
    #expect(archive.tensors.records.map(\.name) == ["b", "a", "d"])
    #expect(try archive.tensor("a").bytes == floatBytes([7]))
    let other = try write(#"{"weight_map":{"b":"1.safetensors","d":"3.safetensors"}}"#, in: folder)
    let error = #expect(throws: ModelFileError.self) { try TensorArchive(path: other) }
    #expect(error?.fault.contains("'a' lies in two files") == true)
  }

  @Test("An index without tensors is an empty archive")
  func emptyIndexOpens() throws {
    let archive = try openArchive(Array(#" {"weight_map":{}}"#.utf8), named: Self.name)
    #expect(archive.tensors.records.isEmpty)
    #expect(archive.files.isEmpty && archive.byteCount == 0)
  }

  @Test("An index is known by its content too")
  func contentTellsAnIndex() throws {
    let folder = try shards()
    let text = #"{"weight_map":{"c":"2.safetensors"}}"#
    let archive = try TensorArchive(path: try folder.write(Array(text.utf8), to: "index"))
    #expect(archive.format == .shardedSafetensors)
  }

  private static func file(_ name: String, _ message: String, _ text: String) -> MalformedFile {
    MalformedFile(name, message, Array(text.utf8))
  }

  private static func shard(_ name: String, _ shard: String) -> MalformedFile {
    file(name, "which is not a plain file name", #"{"weight_map":{"t":"\#(shard)"}}"#)
  }

  static let malformed: [MalformedFile] = [
    file("no bytes", "is empty", ""),
    file("a list", "expected an object", "[]"),
    file("no map", "without 'weight_map'", "{}"),
    file("other members only", "without 'weight_map'", #"{"metadata":{"weight_map":{}}}"#),
    file("two maps", "'weight_map' occurs twice", #"{"weight_map":{},"weight_map":{}}"#),
    file("map is a list", "expected an object", #"{"weight_map":[]}"#),
    file("shard is a number", "expected a string", #"{"weight_map":{"t":1}}"#),
    file("text after the object", "unexpected text", #"{"weight_map":{}}{}"#),
    file("cut short", "JSON byte", #"{"weight_map":{"#),
    file(
      "deep nesting", "nesting deeper than 128",
      #"{"x":"# + String(repeating: "[", count: 10_000)),
    shard("empty shard name", ""), shard("this folder", "."), shard("parent folder", ".."),
    shard("absolute path", "/etc/passwd"), shard("path upwards", "../1.safetensors"),
    shard("path downwards", "a/1.safetensors"), shard("backslash", #"..\\1.safetensors"#),
    shard("zero byte", #"1.safetensors\u0000"#),
    shard("long shard name", String(repeating: "x", count: 256)),
  ]

  @Test("Broken indices are refused", arguments: malformed)
  func indicesAreChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: Self.name)
  }

  @Test(
    "Faults between index and shards are refused",
    arguments: [
      (
        #"{"c":"1.safetensors"}"#,
        "tensor 'c' should lie in '1.safetensors', which does not have it"
      ),
      (#"{"a":"1.safetensors","a":"1.safetensors"}"#, "tensor 'a' occurs twice in 'weight_map'"),
      (#"{"a":"3.safetensors"}"#, "No such file or directory"),
      (#"{"a":"bad.safetensors"}"#, "the header does not begin with '{'"),
      (#"{"a":"folder"}"#, "is not a regular file"),
    ])
  func shardsAreChecked(_ map: String, _ message: String) throws {
    let folder = try shards()
    try folder.write(SafetensorsBuilder.file("[]"), to: "bad.safetensors")
    try folder.write([], to: "folder/file")
    let path = try write(#"{"weight_map":\#(map)}"#, in: folder)
    let error = #expect(throws: ModelFileError.self) { try TensorArchive(path: path) }
    #expect(error?.fault.contains(message) == true, "\(error?.fault ?? "")")
  }

  @Test("More tensors than the limit are refused")
  func tensorCountIsLimited() throws {
    let members = (0...65_536).map { #""\#($0)":"s""# }.joined(separator: ",")
    let file = Self.file("too many", "more than 65536 tensors", #"{"weight_map":{\#(members)}}"#)
    try file.expectRefusal(named: Self.name)
  }

  @Test("Shards whose names differ only in composition are two files")
  func compositionTellsShardsApart() throws {
    let folder = try TemporaryFolder()
    let shards = ["\u{E9}.safetensors", "e\u{301}.safetensors"]
    for (index, name) in shards.enumerated() {
      try folder.write(
        SafetensorsWriter.encode([.init(name: "t\(index)", shape: [], values: [Float(index)])]),
        to: name)
    }
    let path = try write(
      #"{"weight_map":{"t0":"\#(shards[0])","t1":"\#(shards[1])"}}"#, in: folder)
    let archive = try TensorArchive(path: path)
    #expect(try archive.tensor("t0").bytes == floatBytes([0]))
    #expect(try archive.tensor("t1").bytes == floatBytes([1]))
  }

  @Test("An index cut at any byte is refused")
  func truncatedIndicesAreRefused() throws {
    let folder = try shards()
    let text = #"{"weight_map":{"c":"2.safetensors","a":"1.safetensors"},"metadata":{}}"#
    for length in 0..<text.utf8.count {
      let path = try write(String(decoding: text.utf8.prefix(length), as: UTF8.self), in: folder)
      #expect(throws: ModelFileError.self, "\(length) bytes") { try TensorArchive(path: path) }
    }
  }
}
