import BlockFormats
import Checkpoints
import Foundation
import ModelFiles
import StrictJSON
import TextToImage

/// The folder in which a calibration keeps what it has done, so that it goes on after an
/// interruption. Names hold a hash of all that the result depends on.
///
/// ```
/// points-KEY.safetensors     latents of the points, and what enters the modulation
/// streams-KEY.scratch        what lies between stages
/// layer-KEY-LLL-G.gguf       matrices of layer L, file G of it
/// state-KEY.json             layers that are done, and what their matrices lost
/// ```
package final class CalibrationStore: Sendable {
  private static let version = 1

  package let folder: String
  private let key: String

  /// Names the folder; it is made by `prepare`.
  ///
  /// - Parameters:
  ///   - folder: its path.
  ///   - files: the model's.
  ///   - description: what the result depends on beside them.
  package init(folder: String, files: [String], description: String) {
    self.folder = folder
    key = XXHash64.name(of: "\(Self.version) \(FileIdentity.text(of: files)) \(description)")
  }

  /// What is done.
  struct State {
    /// Files of each layer that is done.
    var layers: [Int] = []
    /// Relative errors of products, by our names.
    var productErrors: [String: Double] = [:]
    /// Relative squared errors with each type, by our names, if they were asked for.
    var typeErrors: [String: [ElementType: Double]] = [:]
  }

  /// Makes the folder.
  package func prepare() throws(ModelFileError) { try FolderMaking.make(folder) }

  private func path(_ name: String) -> String { FileSystem.join(folder, name) }
  var scratchPath: String { path("streams-\(key).scratch") }
  private var statePath: String { path("state-\(key).json") }
  private var pointsPath: String { path("points-\(key).safetensors") }

  /// A file of matrices.
  func matrixPath(layer: Int, _ index: Int) -> String {
    path("layer-\(key)-\(layer)-\(index).gguf")
  }

  /// The files of layers that are done.
  func paths(_ state: State) -> [String] {
    state.layers.enumerated().flatMap { layer, count in
      (0..<count).map { matrixPath(layer: layer, $0) }
    }
  }

  // MARK: State

  /// What an earlier run did; nothing if its points, its scratch file or a layer's files are gone.
  func state() -> State? {
    guard let text = FileSystem.text(of: statePath), let json = try? JSONValue(parsing: text),
      let layers = json["layers"]?.arrayValue, let errors = json["productErrors"]?.members
    else { return nil }
    var state = State(layers: layers.compactMap(\.integerValue))
    for error in errors { state.productErrors[error.key] = error.value.doubleValue }
    state.typeErrors = Self.typeErrors(json)
    let files = paths(state) + [scratchPath, pointsPath]
    guard state.layers.count == layers.count, files.allSatisfy({ FileSystem.exists($0) }) else {
      return nil
    }
    return state
  }

  /// Layers that an earlier run finished.
  package var finishedLayers: Int { state()?.layers.count ?? 0 }

  func keep(_ state: State) throws(ModelFileError) {
    func object(_ errors: [String: Double]) -> JSONValue {
      .object(
        errors.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .double($0.value)) })
    }
    let typeErrors = state.typeErrors.sorted { $0.key < $1.key }.map { name, errors in
      let byName = errors.map { ($0.key.name, $0.value) }
      return JSONValue.Member(
        key: name, value: object(Dictionary(byName, uniquingKeysWith: { $1 })))
    }
    let json = JSONValue.object([
      .init(key: "layers", value: .array(state.layers.map { .integer($0) })),
      .init(key: "productErrors", value: object(state.productErrors)),
      .init(key: "typeErrors", value: .object(typeErrors)),
    ])
    try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: statePath, overwrite: true)
  }

  private static func typeErrors(_ json: JSONValue) -> [String: [ElementType: Double]] {
    var found: [String: [ElementType: Double]] = [:]
    for tensor in json["typeErrors"]?.members ?? [] {
      for error in tensor.value.members ?? [] {
        guard let type = ElementType.allCases.first(where: { $0.name == error.key }) else {
          continue
        }
        found[tensor.key, default: [:]][type] = error.value.doubleValue
      }
    }
    return found
  }

  // MARK: Points

  func points(count: Int) -> (latents: [[Float]], modulationInputs: [Float])? {
    guard let archive = try? TensorArchive(path: pointsPath),
      let latents = try? archive.rows(of: "latents", count: count),
      let inputs = try? archive.rows(of: "modulation", count: 1)?.first
    else { return nil }
    return (latents, inputs)
  }

  func keep(points latents: [[Float]], modulationInputs: [Float]) throws(ModelFileError) {
    let tensors = [
      SafetensorsWriter.FloatTensor("latents", rows: latents),
      SafetensorsWriter.FloatTensor("modulation", rows: [modulationInputs]),
    ]
    try AtomicFile.write(SafetensorsWriter.encode(tensors), to: pointsPath, overwrite: true)
  }

  // MARK: End

  /// Removes everything.
  package func remove() {
    if let state = state() { for path in paths(state) { FileSystem.unlink(path) } }
    for path in [statePath, pointsPath, scratchPath] { FileSystem.unlink(path) }
    FileSystem.removeEmptyFolder(folder)
  }
}
