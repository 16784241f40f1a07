import Foundation
import StrictJSON
import Testing
import Tokenizers

/// Where test data lies, and readers for it.
enum TestFiles {
  static let fixtures = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")

  /// Larger data that is not committed; nil unless AURAFLOW_TEST_DATA names a folder.
  static let sharedData = ProcessInfo.processInfo.environment["AURAFLOW_TEST_DATA"]
    .map { URL(filePath: $0).appending(path: "tokenizers") }

  static let sharedDataReason: Comment = "AURAFLOW_TEST_DATA names no folder with test data"

  static func shared(_ path: String) throws -> URL {
    try #require(sharedData).appending(path: path)
  }

  static func bytes(_ url: URL) throws -> [UInt8] { Array(try Data(contentsOf: url)) }

  static func json(_ url: URL) throws -> JSONValue {
    try Data(contentsOf: url).withUnsafeBytes { bytes in try JSONValue(parsing: bytes) }
  }

  /// Texts with the ids expected for them.
  static func goldens(_ url: URL) throws -> [(text: String, ids: [Int32])] {
    try cases(try #require(json(url).arrayValue), key: "ids")
  }

  /// The same, one JSON object per line.
  static func lines(_ url: URL, key: String) throws -> [(text: String, ids: [Int32])] {
    let text = String(decoding: try bytes(url), as: UTF8.self)
    return try cases(
      text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }, key: key)
  }

  private static func cases(
    _ values: [JSONValue], key: String
  ) throws -> [(text: String, ids: [Int32])] {
    try values.map { value in
      let ids = try #require(value[key]?.arrayValue).map {
        Int32(try #require($0.integerValue))
      }
      return (try #require(value["text"]?.stringValue), ids)
    }
  }

  /// A tensor of 64-bit integers in a small safetensors file.
  static func int64Tensor(_ name: String, in url: URL) throws -> [Int32] {
    let file = try bytes(url)
    let headerLength = Int(littleEndian(file[0..<8]))
    let header = try file[8..<8 + headerLength].withUnsafeBytes { bytes in
      try JSONValue(parsing: bytes)
    }
    let tensor = try #require(header[name])
    #expect(tensor["dtype"]?.stringValue == "I64")
    let offsets = try #require(tensor["data_offsets"]?.arrayValue).compactMap(\.integerValue)
    let start = 8 + headerLength
    return stride(from: start + offsets[0], to: start + offsets[1], by: 8).map {
      Int32(truncatingIfNeeded: littleEndian(file[$0..<$0 + 8]))
    }
  }

  static func littleEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// The one-line reason with which `body` fails.
func reason(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch let error as TokenizerError {
    return "\(error)"
  } catch {
    return "another error: \(error)"
  }
}
