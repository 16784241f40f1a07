import Foundation
import TestSupport
import Testing

/// A folder with the small model `in.gguf`, in which a suite runs `auraflow convert`.
protocol ConvertSuite {
  var folder: TemporaryFolder { get }
}

extension ConvertSuite {
  /// A new folder with the model.
  static func makeFolder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try synthesize("in.gguf", in: folder)
    return folder
  }

  /// Makes the model under another name; a folder where it ends in a slash.
  static func synthesize(_ name: String, in folder: TemporaryFolder) throws {
    let outcome = try CommandLine.run(
      ["synthesize", "--preset", "tiny", "--type", "f16", name], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(["convert"] + arguments, in: folder.url)
  }

  func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  func data(_ name: String) throws -> Data {
    try Data(contentsOf: folder.url.appendingPathComponent(name))
  }
}
