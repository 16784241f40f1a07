import Checkpoints
import Foundation
import ModelFiles
import StrictJSON
import Tensors

/// The folder of what was measured of a model, so that a run after an interruption, or for another
/// size that groups are rounded alike for, does not measure it again; any other size at least has
/// the paths. Names hold hashes of all that measurements depend on.
///
/// ```
/// imatrix-KEY.gguf        importance of columns on the paths
/// paths-KEY.safetensors   latents before each step and at the end
/// sensitivity-KEY.json    errors of the model's output, group by group
/// overlay-KEY-PID.gguf    the group that is being measured
/// ```
package struct SensitivityStore: Sendable {
  private static let version = 2

  package let folder: String
  /// Of the paths from noise to pictures.
  private let pathKey: String
  /// Of what is measured on them.
  private let key: String

  /// Names the folder; it is made when something is kept.
  ///
  /// - Parameters:
  ///   - folder: its path.
  ///   - files: the model's.
  ///   - paths: what the paths depend on beside the model, as a text.
  ///   - settings: what the measurements depend on beside that, as a text.
  package init(folder: String, files: [String], paths: String, settings: String) {
    self.folder = folder
    let identity = "\(Self.version) \(FileIdentity.text(of: files)) \(paths)"
    pathKey = XXHash64.name(of: identity)
    key = XXHash64.name(of: "\(identity) \(settings)")
  }

  /// The importance matrix of the same paths.
  package var importancePath: String { "\(folder)/imatrix-\(pathKey).gguf" }
  /// Another one for each process: two may measure the same model.
  var overlayPath: String { "\(folder)/overlay-\(key)-\(getpid()).gguf" }
  private var pathsPath: String { "\(folder)/paths-\(pathKey).safetensors" }
  private var path: String { "\(folder)/sensitivity-\(key).json" }

  /// Makes the folder.
  package func prepare() throws(ModelFileError) { try FolderMaking.make(folder) }

  /// What an earlier run measured, by group.
  package func errors() -> [String: Double] {
    guard let text = FileSystem.text(of: path),
      let json = try? JSONValue(parsing: text), let groups = json.members
    else { return [:] }
    return Dictionary(
      groups.compactMap { group in group.value.doubleValue.map { (group.key, $0) } },
      uniquingKeysWith: { $1 })
  }

  /// Keeps what was measured so far.
  package func keep(_ errors: [String: Double]) throws(ModelFileError) {
    let json = JSONValue.object(
      errors.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .double($0.value)) })
    try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: path, overwrite: true)
  }

  // MARK: Paths

  /// Paths from noise to pictures that an earlier run followed: for each prompt the latents before
  /// each step and at the end. Nil if they are absent, damaged or of other counts.
  package func paths(prompts: Int, steps: Int) -> [[[Float]]]? {
    guard let archive = try? TensorArchive(path: pathsPath) else { return nil }
    var paths: [[[Float]]] = []
    for prompt in 0..<prompts {
      guard let rows = try? archive.rows(of: Self.name(prompt), count: steps + 1) else {
        return nil
      }
      paths.append(rows)
    }
    return paths
  }

  /// Keeps paths.
  package func keep(paths: [[[Float]]]) throws(ModelFileError) {
    let tensors = paths.enumerated().map { SafetensorsWriter.FloatTensor(Self.name($0), rows: $1) }
    try AtomicFile.write(SafetensorsWriter.encode(tensors), to: pathsPath, overwrite: true)
  }

  private static func name(_ prompt: Int) -> String { "path.\(prompt)" }
}
