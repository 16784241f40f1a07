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
