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
/// ```
package struct ComparisonStore: Sendable {
  /// Changes when measures are computed in another way.
  static let version = 1

  package let folder: String

  /// Opens or makes the folder.
  ///
  /// - Throws: `ModelFileError` if it cannot be made or written.
  package init(folder: String) throws(ModelFileError) {
    self.folder = folder
    for name in ["images", "cache/cells", "cache/trajectories", "cache/models", "cache/weights"] {
      try Self.makeFolder(folder + "/" + name)
    }
    try AtomicFile.check(path("results.json"), overwrite: true)
  }

  /// The path of a file in the folder.
  package func path(_ name: String) -> String { folder + "/" + name }

  private static func makeFolder(_ path: String) throws(ModelFileError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "cannot be made a folder: \((error as NSError).localizedDescription)")
    }
  }

  // MARK: Cells

  /// A finished cell; nil if there is none, or if its picture is gone.
  func cell(_ key: String, image: String) -> CellRecord? {
    guard FileManager.default.fileExists(atPath: path(image)),
      let json = json("cache/cells/\(key).json"), let record = CellRecord(json)
    else { return nil }
    return record
  }

  /// Keeps a finished cell. Its picture must have been kept before.
  func keep(_ record: CellRecord, as key: String) throws(ModelFileError) {
    try write(record.json.text(), to: "cache/cells/\(key).json")
  }

  /// A file of JSON; nil if it is absent or damaged.
  func json(_ name: String) -> JSONValue? {
    guard let text = try? String(contentsOfFile: path(name), encoding: .utf8) else { return nil }
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

  func write(
    _ image: RGBImage, to name: String, texts: [(keyword: String, text: String)] = []
  ) throws {
    try Self.makeFolder((path(name) as NSString).deletingLastPathComponent)
    try AtomicFile.write(try image.pngData(texts: texts), to: path(name), overwrite: true)
  }

  /// A picture that was kept; nil if it is absent or damaged.
  func image(_ name: String) -> RGBImage? {
    guard let data = FileManager.default.contents(atPath: path(name)) else { return nil }
    return try? RGBImage(pngData: [UInt8](data))
  }

  // MARK: Trajectories

  /// The path of the reference from noise to a picture.
  struct Trajectory: Sendable, Equatable {
    /// After each step.
    var latents: [[Float]]
    /// At the points where velocities are compared.
    var velocities: [[Float]]
  }

  func keep(_ trajectory: Trajectory, as key: String) throws(ModelFileError) {
    let tensors = [("latents", trajectory.latents), ("velocities", trajectory.velocities)].map {
      name, rows in
      SafetensorsWriter.FloatTensor(
        name: name, shape: [rows.count, rows.first?.count ?? 0], values: rows.flatMap { $0 })
    }
    try AtomicFile.write(
      SafetensorsWriter.encode(tensors), to: path("cache/trajectories/\(key).safetensors"),
      overwrite: true)
  }

  /// A trajectory that was kept; nil if it is absent or damaged.
  func trajectory(_ key: String) -> Trajectory? {
    guard
      let archive = try? TensorArchive(path: path("cache/trajectories/\(key).safetensors"))
    else { return nil }
    func rows(_ name: String) -> [[Float]]? {
      guard let index = archive.tensors.index(of: name),
        let values = try? archive.values(of: index)
      else { return nil }
      let shape = archive.tensors.records[index].shape
      guard shape.count == 2 else { return nil }
      return (0..<shape[0]).map { Array(values[$0 * shape[1]..<($0 + 1) * shape[1]]) }
    }
    guard let latents = rows("latents"), let velocities = rows("velocities") else { return nil }
    return Trajectory(latents: latents, velocities: velocities)
  }
}
