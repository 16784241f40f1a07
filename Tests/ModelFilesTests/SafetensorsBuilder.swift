import ModelFiles
import TestSupport
import Testing

/// Builds safetensors files from a header's text.
enum SafetensorsBuilder {
  static func file(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    file(Array(header.utf8), data: data, length: length)
  }

  static func file(_ header: [UInt8], data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    littleEndian(length ?? UInt64(header.count)) + header + data
  }

  /// One member of a header.
  static func entry(_ name: String, _ type: String, _ shape: [Int], _ offsets: [Int]) -> String {
    #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  /// A small sound file whose last byte is needed.
  static var sample: [UInt8] {
    let header =
      #"{"__metadata__":{"format":"pt"},"# + entry("a", "F32", [2, 3], [0, 24]) + ","
      + entry("b.é", "I64", [], [24, 32]) + "," + entry("none", "BF16", [0, 4], [24, 24]) + "}"
    return file(header, data: (0..<32).map { UInt8($0) })
  }
}

/// Bytes that must be refused, and a part of what must be said.
struct MalformedFile: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let message: String
  let bytes: [UInt8]

  init(_ testDescription: String, _ message: String, _ bytes: [UInt8]) {
    self.testDescription = testDescription
    self.message = message
    self.bytes = bytes
  }

  /// Opens the bytes under a name and checks the refusal.
  func expectRefusal(named name: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(bytes, to: name)
    let error = #expect(throws: ModelFileError.self) { try TensorArchive(path: path) }
    #expect(error?.fault.contains(message) == true, "\(error?.fault ?? "")")
    #expect(error?.kind == .malformed)
    #expect(error?.path == path)
  }
}

/// Opens bytes under a name; the mapping outlives the file.
func openArchive(_ bytes: [UInt8], named name: String) throws -> TensorArchive {
  let folder = try TemporaryFolder()
  return try TensorArchive(path: try folder.write(bytes, to: name))
}

extension TensorArchive {
  /// A tensor's record and bytes by name.
  func tensor(_ name: String) throws -> (record: TensorRecord, bytes: [UInt8]) {
    let index = try #require(tensors.index(of: name), "no tensor '\(name)'")
    return (tensors.records[index], Array(contents(of: index).bytes))
  }
}
