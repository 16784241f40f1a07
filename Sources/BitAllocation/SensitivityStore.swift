import Checkpoints
import Foundation
import ModelFiles
import StrictJSON
import Tensors

/// The folder of what was measured of a model, so that another size, or a run after an interruption,
/// does not measure it again.
///
/// ```
/// imatrix.gguf        importance of columns on the same steps
/// sensitivity.json    errors of the model's output, group by group
/// overlay.gguf        the group that is being measured
/// ```
package struct SensitivityStore: Sendable {
  private static let version = 1

  package let folder: String
  /// Of all that measurements depend on.
  private let key: String

  /// Opens or makes the folder.
  ///
  /// - Parameters:
  ///   - folder: its path.
  ///   - files: the model's.
  ///   - settings: prompts and sizes, as a text.
  /// - Throws: `ModelFileError` if it cannot be made.
  package init(folder: String, files: [String], settings: String) throws(ModelFileError) {
    self.folder = folder
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw ModelFileError(
        path: folder, kind: .unwritable,
        fault: "cannot be made a folder: \((error as NSError).localizedDescription)")
    }
    key = "\(Self.version) \(settings) \(FileIdentity.text(of: files))"
  }

  package var importancePath: String { folder + "/imatrix.gguf" }
  var overlayPath: String { folder + "/overlay.gguf" }
  private var path: String { folder + "/sensitivity.json" }

  /// What an earlier run measured; nothing if it was of another model or with other settings.
  func errors() -> [String: Double] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let json = try? JSONValue(parsing: text), json["key"]?.stringValue == key,
      let groups = json["groups"]?.members
    else { return [:] }
    return Dictionary(
      groups.compactMap { group in group.value.doubleValue.map { (group.key, $0) } },
      uniquingKeysWith: { $1 })
  }

  /// Keeps what was measured so far.
  func keep(_ errors: [String: Double]) throws(ModelFileError) {
    let groups = errors.sorted { $0.key < $1.key }
    let json: JSONValue = [
      "key": .string(key),
      "groups": .object(groups.map { .init(key: $0.key, value: .double($0.value)) }),
    ]
    try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: path, overwrite: true)
  }
}
