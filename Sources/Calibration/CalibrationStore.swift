import BlockFormats
import Checkpoints
import Foundation
import ModelFiles
import StrictJSON
import Synchronization
import TextToImage

/// The folder in which a calibration keeps what it has done, so that it goes on after an
/// interruption. Names hold a hash of all that the result depends on.
///
/// ```
/// points-KEY.safetensors     latents of the points, and what enters the modulation
/// streams-KEY.scratch        what lies between stages
/// text-KEY-G.gguf            matrices of text encoders
/// layer-KEY-L-G.gguf         matrices of layer L of the denoiser
/// state-KEY.json             layers that are done, and what their matrices lost
/// types-KEY.json             what each type would lose of each matrix
/// lock-KEY                   locked by the run that works on these files
/// ```
package final class CalibrationStore: Sendable {
  private static let version = 1

  package let folder: String
  private let key: String
  /// Whether the folder is there for this alone, and goes in the end.
  private let ownsFolder: Bool
  private let held = Mutex<WorkLock?>(nil)

  /// Names the folder; it is made by `prepare`.
  ///
  /// - Parameters:
  ///   - folder: its path.
  ///   - ownsFolder: whether it is there for one new file alone, and goes with it.
  ///   - files: the model's.
  ///   - description: what the result depends on beside them.
  package init(folder: String, ownsFolder: Bool, files: [String], description: String) {
    self.folder = folder
    self.ownsFolder = ownsFolder
    key = XXHash64.name(of: "\(Self.version) \(FileIdentity.text(of: files)) \(description)")
  }

  /// What is done.
  struct State: Sendable {
    /// Files of the text encoders; nil before they are done.
    var texts: Int?
    /// Files of each layer that is done.
    var layers: [Int] = []
    /// What the matrices lost.
    private(set) var outcome = MatrixRounding.Outcome()

    mutating func add(_ other: MatrixRounding.Outcome) { outcome.add(other) }
  }

  /// Makes the folder, and keeps other runs from the same work.
  package func prepare() throws(ModelFileError) {
    try FolderMaking.make(folder)
    let made = try lock(lockPath)
    held.withLock { $0 = made }
  }

  private func lock(_ path: String) throws(ModelFileError) -> WorkLock {
    try WorkLock(
      path: path, folder: folder,
      refusal: "another run is calibrating the same in this folder: wait for its end, or name "
        + "another --calibration-folder")
  }

  private func path(_ name: String) -> String { FileSystem.join(folder, name) }
  var scratchPath: String { path("streams-\(key).scratch") }
  private var statePath: String { path("state-\(key).json") }
  private var errorsPath: String { path("types-\(key).json") }
  private var lockPath: String { path("lock-\(key)") }
  private var pointsPath: String { path("points-\(key).safetensors") }

  /// A file of matrices.
  func matrixPath(layer: Int, _ index: Int) -> String {
    path("layer-\(key)-\(layer)-\(index).gguf")
  }

  /// A file of a text encoder's matrices.
  func textPath(_ index: Int) -> String { path("text-\(key)-\(index).gguf") }

  /// The files of everything that is done.
  func paths(_ state: State) -> [String] {
    (0..<(state.texts ?? 0)).map(textPath)
      + state.layers.enumerated().flatMap { layer, count in
        (0..<count).map { matrixPath(layer: layer, $0) }
      }
  }

  // MARK: State

  /// What an earlier run did; nothing if its points, its scratch file or a layer's files are gone.
  func state() -> State? {
    guard let text = FileSystem.text(of: statePath), let json = try? JSONValue(parsing: text),
      let layers = json["layers"]?.arrayValue, let errors = json["productErrors"]?.members
    else { return nil }
    var state = State(texts: json["texts"]?.integerValue)
    state.layers = layers.compactMap(\.integerValue)
    var outcome = MatrixRounding.Outcome()
    for error in errors { outcome.productErrors[error.key] = error.value.doubleValue }
    outcome.typeErrors = Self.typeErrors(json)
    for errors in json["activationErrors"]?.members ?? [] {
      outcome.activationErrors[errors.key] = errors.value.arrayValue?.compactMap(\.doubleValue)
    }
    state.add(outcome)
    let files = paths(state) + (state.layers.isEmpty ? [] : [scratchPath, pointsPath])
    guard state.layers.count == layers.count, files.allSatisfy({ FileSystem.exists($0) }) else {
      return nil
    }
    return state
  }

  func keep(_ state: State) throws(ModelFileError) {
    let json = JSONValue.object([
      .init(key: "texts", value: state.texts.map { .integer($0) } ?? .null),
      .init(key: "layers", value: .array(state.layers.map { .integer($0) })),
      .init(key: "productErrors", value: Self.json(state.outcome.productErrors)),
      .init(key: "typeErrors", value: Self.json(state.outcome.typeErrors)),
      .init(
        key: "activationErrors",
        value: .object(
          state.outcome.activationErrors.sorted { $0.key < $1.key }.map { name, errors in
            .init(key: name, value: .array(errors.map { .double($0) }))
          })),
    ])
    try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: statePath, overwrite: true)
  }

  private static func json(_ errors: [String: Double]) -> JSONValue {
    .object(errors.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .double($0.value)) })
  }

  private static func json(_ errors: [String: [ElementType: Double]]) -> JSONValue {
    .object(
      errors.sorted { $0.key < $1.key }.map { name, errors in
        let byName = errors.map { ($0.key.name, $0.value) }
        return .init(key: name, value: json(Dictionary(byName, uniquingKeysWith: { $1 })))
      })
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

  /// Forgets the points, and with them all that was rounded of the denoiser.
  func removePoints() { FileSystem.unlink(pointsPath) }

  func keep(points latents: [[Float]], modulationInputs: [Float]) throws(ModelFileError) {
    let tensors = [
      SafetensorsWriter.FloatTensor("latents", rows: latents),
      SafetensorsWriter.FloatTensor("modulation", rows: [modulationInputs]),
    ]
    try AtomicFile.write(SafetensorsWriter.encode(tensors), to: pointsPath, overwrite: true)
  }

  // MARK: End

  /// What each type would lose of each matrix, if an earlier run found that out.
  package func typeErrors() -> [String: [ElementType: Double]]? {
    guard let text = FileSystem.text(of: errorsPath), let json = try? JSONValue(parsing: text)
    else {
      return nil
    }
    let found = Self.typeErrors(json)
    return found.isEmpty ? nil : found
  }

  /// Keeps what each type would lose, and nothing else.
  package func keepTypeErrors(
    _ errors: [String: [ElementType: Double]]
  ) throws(ModelFileError) {
    let json = JSONValue.object([.init(key: "typeErrors", value: Self.json(errors))])
    try AtomicFile.write(Array(json.text(indentation: 2).utf8), to: errorsPath, overwrite: true)
    remove()
  }

  /// Removes all work, and what runs with other settings left in a folder of its own.
  package func remove() {
    if ownsFolder { removeOthers() }
    removeOwn()
  }

  /// Removes the work of these settings.
  func removeOwn() {
    removeFiles(of: key, in: FileSystem.descendants(of: folder))
    if ownsFolder { FileSystem.removeEmptyFolder(folder) }
  }

  /// Removes all files of a key but what types would lose, the lock last.
  private func removeFiles(of key: String, in paths: [String]) {
    let own = paths.filter {
      let name = FileSystem.name(of: $0)
      return name.contains("-\(key)") && !name.hasPrefix("types-")
    }
    let (locks, others) = (
      own.filter { FileSystem.name(of: $0).hasPrefix("lock-") },
      own.filter { !FileSystem.name(of: $0).hasPrefix("lock-") }
    )
    for path in others + locks { FileSystem.unlink(path) }
  }

  /// Removes what runs with other settings left, of which nobody works on.
  private func removeOthers() {
    let paths = FileSystem.descendants(of: folder)
    for path in paths {
      let name = FileSystem.name(of: path)
      guard name.hasPrefix("lock-"), name != "lock-\(key)",
        let lock = try? lock(path)
      else { continue }
      removeFiles(of: String(name.dropFirst("lock-".count)), in: paths)
      withExtendedLifetime(lock) {}
    }
  }
}
