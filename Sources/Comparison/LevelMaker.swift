import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import Quantization

/// Makes levels from the reference: quantized once, kept in the comparison's folder.
package struct LevelMaker {
  private let reference: ComparisonLevel
  private let store: ComparisonStore
  private let importance: ImportanceMatrix?
  private let calibration: String?
  private let quality: QuantizationQuality
  /// The reference's weights.
  package let source: ConversionSource

  /// - Parameters:
  ///   - reference: where the weights come from.
  ///   - store: where the models go.
  ///   - importance: how much columns matter, for levels rounded so.
  ///   - calibration: what calibrated levels say of how they came to be, and all that they depend
  ///     on.
  ///   - quality: how long to search for scales.
  /// - Throws: `ModelFileError` if the reference cannot be opened.
  package init(
    from reference: ComparisonLevel, _ store: ComparisonStore, importance: ImportanceMatrix?,
    calibration: String? = nil, quality: QuantizationQuality
  ) throws {
    self.reference = reference
    self.store = store
    self.importance = importance
    self.calibration = calibration
    self.quality = quality
    source = try reference.weights()
  }

  /// What a level's tensors become; nil if an earlier run made it.
  ///
  /// - Throws: `ConversionError`, `ModelFileError`.
  package func plan(of level: MadeLevel) throws -> ConversionPlan? {
    let path = path(of: level)
    guard !FileSystem.exists(path) else { return nil }
    var request = ConversionPlan.Request(level.mix)
    if level.rounding == .calibrated { request.calibration = calibration }
    return try ConversionPlan(source, request, path: path)
  }

  /// Makes a level.
  ///
  /// - Parameters:
  ///   - level: the level.
  ///   - plan: what its tensors become.
  ///   - finished: tensors that are rounded already.
  ///   - pool: threads to work on; cancelling it ends the work.
  ///   - onBytes: told of bytes that are done and of all.
  /// - Throws: as `Converter.write`.
  package func make(
    _ level: MadeLevel, _ plan: ConversionPlan, finished: FinishedTensors? = nil,
    on pool: ThreadPool, onBytes: @escaping Converter.Progress
  ) throws {
    var options = ConversionOptions()
    options.quality = quality
    options.measuresErrors = false
    options.finished = finished
    if let importance, level.rounding == .imatrix { options.use(importance) }
    _ = try Converter.write(
      plan, to: path(of: level), overwrite: false, options: options, on: pool, progress: onBytes)
  }

  /// The level, as it is compared once it is made.
  ///
  /// - Parameters:
  ///   - level: the level.
  ///   - name: what it is called.
  /// - Returns: the level.
  package func comparisonLevel(_ level: MadeLevel, name: String) -> ComparisonLevel {
    var paths = ModelPaths(model: path(of: level))
    paths.access = reference.paths.access
    return ComparisonLevel(
      name: name, kind: .level, paths: paths, activations: reference.activations)
  }

  /// Checks that the disk has room for all levels that are still to be made, before the first is.
  ///
  /// - Parameter levels: the levels.
  /// - Throws: `ModelFileError` saying how much is missing.
  package func checkSpace(for levels: [MadeLevel]) throws {
    let byteCount = try levels.reduce(0) { $0 + (try plan(of: $1)?.byteCount ?? 0) }
    try AtomicFile.checkSpace(for: byteCount, at: store.path("cache/models/level.gguf"))
  }

  /// Where a level is kept: its name holds a hash of all that the model depends on.
  package func path(of level: MadeLevel) -> String {
    let importance = level.rounding == .imatrix ? importance?.path : nil
    let calibration = level.rounding == .calibrated ? calibration ?? "" : ""
    let origin = FileIdentity.text(of: source.files + [importance].compactMap { $0 })
    let key = XXHash64.name(
      of: "\(ComparisonStore.version) \(level.mix.name) \(quality) \(origin) \(reference.hints)"
        + calibration)
    return store.path("cache/models/\(level.mix.name)-\(key).gguf")
  }
}
