import ModelFiles
import TestSupport
import Testing

/// One argument for each check of `SafetensorsFile`.
@Suite struct SafetensorsMalformedTests {
  private typealias Builder = SafetensorsBuilder

  private static func header(
    _ name: String, _ message: String, _ header: String, data: Int = 0
  ) -> MalformedFile {
    MalformedFile(
      name, message, Builder.file(header, data: Array(repeating: 1, count: data)))
  }

  /// A header of one entry for a byte tensor with other members.
  private static func entry(_ name: String, _ message: String, _ members: String) -> MalformedFile {
    header(name, message, #"{"t":{\#(members)}}"#, data: 4)
  }

  static let framing: [MalformedFile] = [
    MalformedFile("no bytes", "is empty", []),
    MalformedFile("seven bytes", "has 7 bytes, too few", Array(repeating: 2, count: 7)),
    MalformedFile("length only", "header of 2 bytes in a file of 8", littleEndian(UInt64(2))),
    MalformedFile("length 0", "header of 0 bytes", Builder.file("{}", length: 0)),
    MalformedFile("length 1", "header of 1 bytes", Builder.file("{}", length: 1)),
    MalformedFile(
      "length too long", "header of 3 bytes in a file of 10", Builder.file("{}", length: 3)),
    MalformedFile(
      "length above the limit", "the limit is 100000000", Builder.file("{}", length: 100_000_001)),
    MalformedFile(
      "length of all bytes", "the limit is 100000000", Builder.file("{}", length: .max)),
    MalformedFile("length of Int.max", "the limit is", Builder.file("{}", length: 1 << 63 - 1)),
    header("array", "does not begin with '{'", "[]"),
    header("blank first", "does not begin with '{'", " {}"),
    header("object not closed", "expected a string", "{     "),
    header("text after the object", "unexpected text after the value", "{}x"),
    header("zero padding", "unexpected text after the value", "{}\u{0}\u{0}"),
    MalformedFile(
      "name that is no UTF-8", "string is not valid UTF-8",
      Builder.file([0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7B, 0x7D, 0x7D])),
    header("lone surrogate", "lone surrogate", #"{"\ud800":{}}"#),
    header(
      "deep nesting", "nesting deeper than 128",
      #"{"t":{"x":"# + String(repeating: "[", count: 10_000)),
  ]

  static let metadata: [MalformedFile] = [
    header("metadata is a list", "expected an object", #"{"__metadata__":[]}"#),
    header("number in metadata", "value of 'a' is not a string", #"{"__metadata__":{"a":1}}"#),
    header("object in metadata", "is not a string", #"{"__metadata__":{"a":{}}}"#),
    header(
      "key twice in metadata", "'a' occurs twice in '__metadata__'",
      #"{"__metadata__":{"a":"1","a":"1"}}"#),
    header(
      "metadata twice", "'__metadata__' occurs twice",
      #"{"__metadata__":{},"__metadata__":{}}"#),
  ]

  static let entries: [MalformedFile] = [
    header("entry is a list", "expected an object", #"{"t":[]}"#),
    entry("nothing", "lacks dtype, shape or data_offsets", ""),
    entry("no dtype", "lacks dtype", #""shape":[4],"data_offsets":[0,4]"#),
    entry("no shape", "lacks dtype, shape", #""dtype":"U8","data_offsets":[0,4]"#),
    entry("no offsets", "lacks dtype", #""dtype":"U8","shape":[4]"#),
    entry("two dtypes", "has two dtypes", #""dtype":"U8","dtype":"U8""#),
    entry("two shapes", "has two shapes", #""shape":[4],"shape":[4]"#),
    entry("two offsets", "has two data_offsets", #""data_offsets":[0,4],"data_offsets":[0,4]"#),
    entry("unknown dtype", "unknown dtype 'Q4_0'", #""dtype":"Q4_0""#),
    entry("dtype is a number", "expected a string", #""dtype":8"#),
    entry("shape is a number", "expected an array", #""shape":4"#),
    entry("negative dimension", "non-negative 64-bit integer, found -4", #""shape":[-4]"#),
    entry("fractional dimension", "non-negative 64-bit integer, found 4.0", #""shape":[4.0]"#),
    entry("dimension as text", "expected a non-negative integer", #""shape":["4"]"#),
    entry("dimension of 65 bits", "64-bit integer", #""shape":[18446744073709551616]"#),
    entry(
      "65 dimensions", "has more than 64 dimensions",
      #""shape":\#(Array(repeating: 1, count: 65))"#),
    entry("three offsets", "has more than 2 data_offsets", #""data_offsets":[0,2,4]"#),
    entry("one offset", "impossible data_offsets [4]", dtype(shape: "[4]", offsets: "[4]")),
    entry("no offset", "impossible data_offsets []", dtype(shape: "[4]", offsets: "[]")),
    entry(
      "offsets backwards", "impossible data_offsets [4, 0]", dtype(shape: "[4]", offsets: "[4,0]")),
    entry(
      "end above Int", "impossible data_offsets",
      dtype(shape: "[4]", offsets: "[0,9223372036854775808]")),
    entry(
      "both above Int", "impossible data_offsets",
      dtype(shape: "[0]", offsets: "[18446744073709551615,18446744073709551615]")),
    entry(
      "elements overflow", "impossible shape",
      dtype(shape: "[4294967296,4294967296]", offsets: "[0,0]")),
    entry(
      "overflow before a zero", "impossible shape",
      dtype(shape: "[4294967296,4294967296,0]", offsets: "[0,0]")),
    entry(
      "dimension above Int", "impossible shape",
      dtype(shape: "[0,9223372036854775808]", offsets: "[0,0]")),
    entry(
      "bytes overflow", "impossible shape",
      #""dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]"#),
    entry(
      "half a byte", "impossible shape", #""dtype":"F4","shape":[3],"data_offsets":[0,2]"#),
    entry(
      "too few bytes", "needs 8 bytes, its data_offsets give 4",
      dtype(shape: "[8]", offsets: "[0,4]")),
    entry(
      "too many bytes", "needs 3 bytes, its data_offsets give 4",
      dtype(shape: "[3]", offsets: "[0,4]")),
  ]

  private static func dtype(shape: String, offsets: String) -> String {
    #""dtype":"U8","shape":\#(shape),"data_offsets":\#(offsets)"#
  }

  private static func tiles(
    _ name: String, _ message: String, _ ranges: [(String, Int, Int)], data: Int
  ) -> MalformedFile {
    let entries = ranges.map { Builder.entry($0.0, "U8", [$0.2 - $0.1], [$0.1, $0.2]) }
    return header(name, message, "{" + entries.joined(separator: ",") + "}", data: data)
  }

  static let tiling: [MalformedFile] = [
    tiles(
      "gap at the start", "'a' begins at byte 1 of the data, expected 0", [("a", 1, 2)], data: 2),
    tiles(
      "gap between", "'b' begins at byte 3 of the data, expected 2", [("a", 0, 2), ("b", 3, 4)],
      data: 4),
    tiles(
      "overlap", "'b' begins at byte 1 of the data, expected 2", [("a", 0, 2), ("b", 1, 4)], data: 4
    ),
    tiles("same bytes", "must not overlap", [("a", 0, 4), ("b", 0, 4)], data: 4),
    tiles("empty tensor inside", "must not overlap", [("a", 0, 4), ("b", 2, 2)], data: 4),
    tiles("data cut short", "the data ends 1 bytes early", [("a", 0, 4)], data: 3),
    tiles(
      "bytes left over", "1 bytes after the last tensor are not part of any", [("a", 0, 4)], data: 5
    ),
    tiles("bytes of no tensor", "2 bytes after the last tensor", [], data: 2),
    tiles("name twice", "tensor 'a' occurs twice", [("a", 0, 2), ("a", 2, 4)], data: 4),
  ]

  @Test("Broken framing is refused", arguments: framing)
  func framingIsChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "a.safetensors")
  }

  @Test("Broken metadata is refused", arguments: metadata)
  func metadataIsChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "a.safetensors")
  }

  @Test("Broken entries are refused", arguments: entries)
  func entriesAreChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "a.safetensors")
  }

  @Test("Data with gaps, overlaps or missing bytes is refused", arguments: tiling)
  func tilingIsChecked(_ file: MalformedFile) throws {
    try file.expectRefusal(named: "a.safetensors")
  }

  @Test("More tensors than the limit are refused")
  func tensorCountIsLimited() throws {
    let entries = (0...65_536).map { Builder.entry("\($0)", "U8", [0], [0, 0]) }
    let file = Self.header(
      "too many", "more than 65536 tensors", "{" + entries.joined(separator: ",") + "}")
    try file.expectRefusal(named: "a.safetensors")
  }

  @Test("A file cut at any byte is refused")
  func truncatedFilesAreRefused() throws {
    let folder = try TemporaryFolder()
    let bytes = Builder.sample
    for length in 0..<bytes.count {
      let path = try folder.write(Array(bytes.prefix(length)), to: "a.safetensors")
      #expect(throws: ModelFileError.self, "\(length) bytes") { try TensorArchive(path: path) }
    }
  }
}
