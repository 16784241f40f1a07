import Checkpoints
import Compute
import Foundation
import ModelFiles
import StrictJSON
import Synchronization

/// The folder of what was measured of a model, so that a run after an interruption, or for another
/// size that groups are quantized alike for, does not measure it again; any other size at least has
/// the paths. Names hold hashes of all that measurements depend on.
///
/// ```
/// imatrix-KEY.gguf        importance of columns on the paths
/// paths-KEY.safetensors   latents before each step and at the end
/// sensitivity-KEY.json    errors of the model's output, group by group
/// overlay-KEY-PID.gguf    the group that is being measured
/// ```
///
/// Where the folder takes nothing any more, another one is used from then on.
package final class SensitivityStore: Sendable {
  private static let version = 2

  /// Folders that hold something; the last one is written to.
  private let folders: Mutex<[String]>
  private let onRescue: @Sendable (RescuedFile) -> Void
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
  ///   - onRescue: told of another folder that is used instead.
  package init(
    folder: String, files: [String], paths: String, settings: String,
    onRescue: @escaping @Sendable (RescuedFile) -> Void = { _ in }
  ) {
    folders = Mutex([folder])
    self.onRescue = onRescue
    let identity = "\(Self.version) \(FileIdentity.text(of: files)) \(paths)"
    pathKey = XXHash64.name(of: identity)
    key = XXHash64.name(of: "\(identity) \(settings)")
  }

  /// The folder that is written to.
  package var folder: String { folders.withLock { $0.last ?? "." } }

  /// The importance matrix of the same paths.
  package var importancePath: String { path("imatrix-\(pathKey).gguf") }
  /// Another one for each process: two may measure the same model.
  private var overlayName: String { "overlay-\(key)-\(getpid()).gguf" }
  var overlayPath: String { path(overlayName) }
  private var pathsPath: String { path("paths-\(pathKey).safetensors") }

  /// Where a file is: in the last folder that has it.
  private func path(_ name: String) -> String {
    let folders = folders.withLock { $0 }
    let holder = folders.last { FileSystem.exists(FileSystem.join($0, name)) }
    return FileSystem.join(holder ?? folders.last ?? ".", name)
  }

  /// Makes the folder.
  package func prepare() throws(ModelFileError) { try FolderMaking.make(folder) }

  /// Lets `write` make a file in the folder, or in another one if this one does not take it.
  private func keep(
    _ name: String, _ write: (_ path: String) throws(ModelFileError) -> Void
  ) throws(ModelFileError) {
    let own = folder
    let rescued = try RescuedFile.writing(to: own, overwrite: true, ending: "") {
      folder, _ throws(ModelFileError) in
      try FolderMaking.make(folder)
      do throws(ModelFileError) {
        try write(FileSystem.join(folder, name))
      } catch {
        // Goes only if it is empty.
        if folder != own { FileSystem.removeEmptyFolder(folder) }
        throw error
      }
    }
    guard let rescued else { return }
    folders.withLock { $0.append(rescued.path) }
    onRescue(rescued)
  }

  /// Lets `write` make the overlay.
  func writeOverlay(_ write: (_ path: String) throws -> Void) throws {
    // Errors that have nothing to do with files are not a reason to try another folder.
    var other: (any Error)?
    try keep(overlayName) { path throws(ModelFileError) in
      do {
        try write(path)
      } catch let error as ModelFileError {
        throw error
      } catch {
        other = error
      }
    }
    if let other { throw other }
  }

  /// Keeps the importance matrix of the paths.
  package func keep(
    importance entries: [String: ColumnSquares], prompts: Int
  ) throws(ModelFileError) {
    try keep("imatrix-\(pathKey).gguf") { path throws(ModelFileError) in
      try ImportanceMatrix.write(
        entries, origin: .init(datasets: [], chunkCount: prompts), to: path, overwrite: true)
    }
  }

  /// What an earlier run measured, by group.
  package func errors() -> [String: Double] {
    guard let text = FileSystem.text(of: path("sensitivity-\(key).json")),
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
    try keep("sensitivity-\(key).json") { path throws(ModelFileError) in
      try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: path, overwrite: true)
    }
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
    try keep("paths-\(pathKey).safetensors") { path throws(ModelFileError) in
      try AtomicFile.write(SafetensorsWriter.encode(tensors), to: path, overwrite: true)
    }
  }

  private static func name(_ prompt: Int) -> String { "path.\(prompt)" }
}
