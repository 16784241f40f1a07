import BlockFormats
import Foundation
import ModelFiles
import StrictJSON

/// Where test data lies.
package enum Fixtures {
  /// `Tests/Fixtures` of this checkout.
  package static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

  /// The checkout itself.
  package static let checkout = folder.deletingLastPathComponent().deletingLastPathComponent()

  /// Extra data that the project does not ship; nil without the variable `AURAFLOW_TEST_DATA`.
  package static let extraData = ProcessInfo.processInfo.environment["AURAFLOW_TEST_DATA"].map {
    URL(fileURLWithPath: $0)
  }

  /// Why tests with extra data are skipped.
  package static let extraDataReason: String =
    "needs the extra test data: set AURAFLOW_TEST_DATA to its folder"

  /// A fixture's path.
  package static func path(_ relative: String) -> String {
    folder.appendingPathComponent(relative).path
  }

  /// Whether there is such a fixture.
  package static func exists(_ relative: String) -> Bool {
    FileManager.default.fileExists(atPath: path(relative))
  }

  /// A parsed JSON fixture.
  package static func json(_ relative: String) throws -> JSONValue {
    let data = try Data(contentsOf: folder.appendingPathComponent(relative))
    return try data.withUnsafeBytes { try JSONValue(parsing: $0) }
  }
}

/// The tensors of a golden file, decoded to float32.
package struct Golden {
  private let archive: TensorArchive

  package init(_ relative: String) throws {
    archive = try TensorArchive(path: Fixtures.path(relative))
  }

  package init(path: String) throws { archive = try TensorArchive(path: path) }

  /// Names of all tensors.
  package var names: [String] { archive.tensors.records.map(\.name) }

  /// A tensor's shape, row-major.
  package func shape(_ name: String) throws -> [Int] { try record(name).record.shape }

  /// A tensor's values as float32 (integers are converted).
  package func floats(_ name: String) throws -> [Float] {
    let (record, index) = try record(name)
    let contents = archive.contents(of: index)
    var values = [Float](repeating: 0, count: record.elementCount)
    if let base = contents.bytes.baseAddress {
      record.type.decode(base, count: record.elementCount, into: &values)
    }
    return values
  }

  /// A tensor's raw bytes.
  package func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](archive.contents(of: try record(name).index).bytes)
  }

  private func record(_ name: String) throws -> (record: TensorRecord, index: Int) {
    guard let index = archive.tensors.index(of: name) else { throw MissingGolden(name: name) }
    return (archive.tensors.records[index], index)
  }

  struct MissingGolden: Error {
    let name: String
  }
}

/// A safetensors file with any types and bytes.
package enum RawSafetensors {
  /// A tensor; too few bytes are filled up with zeros.
  package struct Tensor {
    package var name: String
    package var type: ElementType
    package var shape: [Int]
    package var bytes: [UInt8]

    package init(_ name: String, _ type: ElementType, _ shape: [Int], _ bytes: [UInt8] = []) {
      (self.name, self.type, self.shape) = (name, type, shape)
      let count = type.byteCount(elements: shape.reduce(1, *)) ?? 0
      self.bytes = bytes + Array(repeating: 0, count: max(0, count - bytes.count))
    }

    /// Numbers of 32 bits.
    package init(_ name: String, _ shape: [Int], _ values: [Float]) {
      self.init(name, .f32, shape, values.withUnsafeBytes { Array($0) })
    }
  }

  /// The bytes of a file.
  package static func encode(
    _ tensors: [Tensor], metadata: [(key: String, value: String)] = []
  ) -> [UInt8] {
    var offset = 0
    var members = tensors.map { tensor in
      let place = [offset, offset + tensor.bytes.count]
      offset += tensor.bytes.count
      let type = tensor.type.safetensorsName ?? "?"
      return "\(JSONText.quoted(tensor.name)):{\"dtype\":\"\(type)\",\"shape\":\(tensor.shape),"
        + "\"data_offsets\":\(place)}"
    }
    if !metadata.isEmpty {
      let pairs = metadata.map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }
      members.insert("\"__metadata__\":{\(pairs.joined(separator: ","))}", at: 0)
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    return length + header + tensors.flatMap(\.bytes)
  }
}

/// A folder that is removed when the object goes.
package final class TemporaryFolder {
  package let url: URL

  package init() throws {
    url = FileManager.default.temporaryDirectory
      .appendingPathComponent("auraflow-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  package var path: String { url.path }

  package func path(_ name: String) -> String { url.appendingPathComponent(name).path }

  /// Writes a file into the folder and returns its path.
  @discardableResult
  package func write(_ bytes: [UInt8], to name: String) throws -> String {
    let file = url.appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: file)
    return file.path
  }
}
