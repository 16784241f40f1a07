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
  private let quality: QuantizationQuality
  private let source: ConversionSource

  /// - Parameters:
  ///   - reference: where the weights come from.
  ///   - store: where the models go.
  ///   - importance: how much columns matter, if that is known.
  ///   - quality: how long to search for scales.
  /// - Throws: `ModelFileError` if the reference cannot be opened.
  package init(
    from reference: ComparisonLevel, _ store: ComparisonStore, importance: ImportanceMatrix?,
    quality: QuantizationQuality
  ) throws {
    self.reference = reference
    self.store = store
    self.importance = importance
    self.quality = quality
    source = try reference.weights()
  }

  /// The level of a type or mix, converted unless an earlier run did.
  ///
  /// - Parameters:
  ///   - mix: the type.
  ///   - name: what the level is called.
  ///   - pool: threads to work on; cancelling it ends the work.
  ///   - onBytes: told of bytes that are done and of all.
  /// - Returns: the level.
  /// - Throws: as `Converter.write`.
  package func make(
    _ mix: TypeMix, name: String, on pool: ThreadPool, onBytes: @escaping Converter.Progress
  ) throws -> ComparisonLevel {
    let path = path(of: mix)
    if !FileSystem.exists(path) {
      var options = ConversionOptions()
      options.quality = quality
      options.measuresErrors = false
      if let importance { options.use(importance) }
      let plan = try ConversionPlan(source, ConversionPlan.Request(mix), path: path)
      _ = try Converter.write(
        plan, to: path, overwrite: false, options: options, on: pool, progress: onBytes)
    }
    var paths = ModelPaths(model: path)
    paths.access = reference.paths.access
    return ComparisonLevel(
      name: name, kind: .level, paths: paths, activations: reference.activations)
  }

  /// Checks that the disk has room for all levels that are still to be made, before the first is.
  ///
  /// - Parameter mixes: the types.
  /// - Throws: `ModelFileError` saying how much is missing.
  package func checkSpace(for mixes: [TypeMix]) throws {
    var byteCount = 0
    for mix in mixes where !FileSystem.exists(path(of: mix)) {
      byteCount += try ConversionPlan(source, ConversionPlan.Request(mix), path: path(of: mix))
        .byteCount
    }
    try AtomicFile.checkSpace(for: byteCount, at: store.path("cache/models/level.gguf"))
  }

  /// Where a level is kept: its name holds a hash of all that the model depends on.
  private func path(of mix: TypeMix) -> String {
    let origin = FileIdentity.text(of: source.files + [importance?.path].compactMap { $0 })
    let key = XXHash64.name(
      of: "\(ComparisonStore.version) \(mix.name) \(quality) \(origin) \(reference.hints)")
    return store.path("cache/models/\(mix.name)-\(key).gguf")
  }
}
