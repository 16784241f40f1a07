import Foundation
import Images
import ModelFiles
import StrictJSON

/// The folder of a comparison: what is finished in it is not computed again.
///
/// ```
/// images/LEVEL/003-s1.png             a picture: prompt 3, seed 1
/// images/LEVEL/003-s1-difference.png  where it differs from the reference's
/// cache/cells/KEY.json                measures, by a hash of all that they depend on
/// cache/trajectories/KEY.safetensors  the reference's latents after each step, and velocities
/// cache/models/NAME-KEY.gguf          levels made from the reference
/// cache/weights/KEY.json              errors of each tensor
/// cache/lock                          locked by the run that works in the folder
/// ```
package struct ComparisonStore: Sendable {
  /// Changes when measures are computed in another way.
  static let version = 2

  package let folder: String
  private let lock: WorkLock

  /// Opens or makes the folder.
  ///
  /// - Parameters:
  ///   - folder: its path.
  ///   - overwrite: whether files in a folder of other things may be replaced.
  /// - Throws: `ModelFileError` if it cannot be made or written, holds other things, or another run
  ///   works in it.
  package init(folder: String, overwrite: Bool) throws(ModelFileError) {
    self.folder = folder
    let known = FileSystem.names(in: folder)
    if !overwrite, !known.isEmpty, !known.contains("cache") {
      throw ModelFileError(
        path: folder, kind: .unwritable,
        fault: "holds other files: name a new folder, or pass --force to write into this one")
    }
    for name in ["images", "cache/cells", "cache/trajectories", "cache/models", "cache/weights"] {
      try FolderMaking.make(folder + "/" + name)
    }
    lock = try WorkLock(
      path: folder + "/cache/lock", folder: folder,
      refusal:
        "another run of compare is working in this folder: wait for its end, or name another")
    try AtomicFile.check(path("results.json"), overwrite: true)
  }

  /// The path of a file in the folder.
  package func path(_ name: String) -> String { folder + "/" + name }

  // MARK: Cells

  /// A finished cell; nil if there is none, or if its pictures are gone or another cell's.
  func cell(_ key: String, image: String, difference: String) -> CellRecord? {
    guard let json = json("cache/cells/\(key).json"), let record = CellRecord(json),
      hash(ofFile: image) == record.pictureHash, hash(ofFile: difference) == record.differenceHash
    else { return nil }
    return record
  }

  /// Keeps a finished cell. Its pictures must have been kept before.
  func keep(_ record: CellRecord, as key: String) throws(ModelFileError) {
    try write(record.json.text(), to: "cache/cells/\(key).json")
  }

  /// A hash of a file's content; empty if it does not exist.
  private func hash(ofFile name: String) -> String {
    FileSystem.content(of: path(name)).map { XXHash64.name(of: $0) } ?? ""
  }

  /// A file of JSON; nil if it is absent or damaged.
  func json(_ name: String) -> JSONValue? {
    guard let text = FileSystem.text(of: path(name)) else { return nil }
    return try? JSONValue(parsing: text)
  }

  /// Writes a text under a name in the folder, whole or not at all.
  func write(_ text: String, to name: String) throws(ModelFileError) {
    try AtomicFile.write(Array(text.utf8), to: path(name), overwrite: true)
  }

  // MARK: Pictures

  /// The name of a cell's picture.
  func imageName(_ level: String, prompt: Int, seed: UInt64, ending: String = "") -> String {
    "images/\(level)/" + String(format: "%03d", prompt + 1) + "-s\(seed)\(ending).png"
  }

  /// Writes a picture.
  ///
  /// - Returns: a hash of its file.
  /// - Throws: `PNGError`, `ModelFileError` if it cannot be written.
  @discardableResult
  func write(_ image: RGBImage, to name: String) throws -> String {
    try FolderMaking.make(FileSystem.folder(of: path(name)))
    let data = try image.pngData()
    try AtomicFile.write(data, to: path(name), overwrite: true)
    return XXHash64.name(of: data)
  }

  /// Removes a picture that a cell no longer has.
  func remove(_ name: String) { FileSystem.unlink(path(name)) }

  /// A picture that was kept; nil if it is absent or damaged.
  func image(_ name: String) -> RGBImage? {
    FileSystem.content(of: path(name)).flatMap { try? RGBImage(pngData: $0) }
  }

  // MARK: Trajectories

  /// The path of the reference from noise to a picture.
  struct Trajectory: Sendable, Equatable {
    /// After each step.
    var latents: [[Float]]
    /// At the points where velocities are compared.
    var velocities: [[Float]]
  }

  private func trajectoryPath(_ key: String) -> String {
    path("cache/trajectories/\(key).safetensors")
  }

  func keep(_ trajectory: Trajectory, as key: String) throws(ModelFileError) {
    let tensors = [
      SafetensorsWriter.FloatTensor("latents", rows: trajectory.latents),
      SafetensorsWriter.FloatTensor("velocities", rows: trajectory.velocities),
    ]
    try AtomicFile.write(
      SafetensorsWriter.encode(tensors), to: trajectoryPath(key), overwrite: true)
  }

  /// Whether a trajectory of some steps and points was kept; only the file's header is read.
  func hasTrajectory(_ key: String, steps: Int, points: Int) -> Bool {
    guard let archive = try? TensorArchive(path: trajectoryPath(key)) else { return false }
    return archive.hasRows(of: "latents", count: steps)
      && archive.hasRows(of: "velocities", count: points)
  }

  /// A trajectory that was kept; nil if it is absent, damaged or of other counts.
  func trajectory(_ key: String, steps: Int, points: Int) -> Trajectory? {
    guard let archive = try? TensorArchive(path: trajectoryPath(key)),
      let latents = try? archive.rows(of: "latents", count: steps),
      let velocities = try? archive.rows(of: "velocities", count: points)
    else { return nil }
    return Trajectory(latents: latents, velocities: velocities)
  }
}
