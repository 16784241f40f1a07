import Foundation
import ModelFiles
import StrictJSON

/// Opens the files of a model's parts, wherever they lie.
struct ModelOpener {
  let paths: ModelPaths
  let hints: ArchitectureHints
  private let cache: ArchiveCache
  /// What lies where `--model` points; nil if it does not.
  private(set) var model: ModelFinder?
  /// Not among the archives: it has no parts of its own.
  private var overlay: TensorArchive?

  /// Looks through the model's own path, also if every part is named by itself: its tokenizer and
  /// defaults are used then.
  ///
  /// - Parameters:
  ///   - wanted: the parts to come.
  ///   - paths: where they are.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Throws: `ModelFileError` if the model's file cannot be opened or is another pipeline.
  init(
    _ wanted: [ModelPart], paths: ModelPaths, hints: ArchitectureHints
  ) throws(ModelFileError) {
    self.paths = paths
    self.hints = hints
    cache = ArchiveCache(access: paths.access)
    guard let path = paths.model else { return }
    let model = try ModelFinder(path, for: wanted.filter { paths.path(of: $0) == nil }, cache)
    self.model = model
    try checkPipelineClass()
  }

  // MARK: Parts

  /// `model_index.json` of a diffusers folder.
  var pipelineIndex: ConfigurationFile? { model?.pipelineIndex }

  /// The file that holds several parts, where the model is one.
  var modelArchive: TensorArchive? {
    guard let model, model.contents.count == 1 || !model.isFolder else { return nil }
    return model.contents.first?.archive
  }

  /// Opens parts.
  ///
  /// - Parameters:
  ///   - parts: what to open, in order.
  ///   - alternative: what could be done instead, given the parts that are there.
  /// - Returns: the parts, in the same order.
  /// - Throws: `ModelFileError` naming the first faulty file, or all parts that are missing.
  mutating func parts(
    _ parts: [ModelPart], alternative: ([ModelPart]) -> String? = { _ in nil }
  ) throws(ModelFileError) -> [PartSource] {
    var places: [(part: ModelPart, contents: ArchiveContents)] = []
    for part in parts {
      if let contents = try contents(of: part) { places.append((part, contents)) }
    }
    // What is there and cannot be run comes before what would have to be found for it.
    for (part, contents) in places {
      if let fault = contents.fault(of: part) { throw fault }
    }
    let missing = parts.filter { part in !places.contains { $0.part == part } }
    guard missing.isEmpty else {
      let lacksTokenizer = parts.contains(.textEncoder) ? try tokenizer() == nil : false
      throw MissingParts.error(
        missing, isTokenizerMissing: lacksTokenizer, model,
        path: paths.model ?? places.first?.contents.archive.path ?? "model",
        alternative: alternative)
    }
    var sources: [PartSource] = []
    for (part, contents) in places { sources.append(try source(part, contents)) }
    return sources
  }

  private mutating func source(
    _ part: ModelPart, _ contents: ArchiveContents
  ) throws(ModelFileError) -> PartSource {
    guard let place = contents.place(of: part) else {
      throw MissingParts.notFound(part, in: contents)
    }
    if overlay == nil, let path = paths.overlay {
      overlay = try TensorArchive(path: path, access: paths.access)
    }
    return PartSource(
      weights: ComponentWeights(contents, at: place, overlay: overlay),
      configuration: try configuration(of: part, beside: contents.archive.path), hints: hints)
  }

  /// The archive that holds a part; nil if it is nowhere.
  private func contents(of part: ModelPart) throws(ModelFileError) -> ArchiveContents? {
    guard let path = paths.path(of: part) else { return try model?.archive(of: part) }
    let finder = try ModelFinder(path, for: [part], cache)
    if let found = try finder.archive(of: part) { return found }
    if let fault = finder.faults.first { throw fault }
    guard let first = finder.contents.first else { throw ModelFolder.noWeights(in: path) }
    throw MissingParts.notFound(part, in: first)
  }

  /// Classes that a pipeline's index may name for its parts.
  private static let classes = [
    ("transformer", ["AuraFlowTransformer2DModel"]),
    ("text_encoder", ["UMT5EncoderModel"]), ("vae", ["AutoencoderKL", "AutoencoderTiny"]),
  ]

  private func checkPipelineClass() throws(ModelFileError) {
    guard let index = pipelineIndex, let folder = paths.model else { return }
    if let name = index.json["_class_name"], name.stringValue != "AuraFlowPipeline" {
      throw ModelFileError(
        path: folder, kind: .unsupported,
        fault:
          "holds a pipeline of class \(name.text().prefix(60)), only AuraFlowPipeline can be run"
      )
    }
    for (part, supported) in Self.classes {
      guard let name = index.json[part]?.arrayValue?.last?.stringValue else { continue }
      guard supported.contains(name) else {
        throw ModelFileError(
          path: index.path, kind: .unsupported,
          fault: "'\(part)' is a \(name.prefix(60)), supported: "
            + supported.joined(separator: ", "))
      }
    }
  }

  private func configuration(
    of part: ModelPart, beside path: String
  ) throws(ModelFileError) -> ConfigurationFile? {
    let folder = ModelFolder.folder(of: path)
    guard
      let file = try ConfigurationFile.ifPresent(ModelFolder.join(folder, "config.json"))
    else { return nil }
    // A folder of downloads may hold the configuration of something else.
    return file.describes(part) ? file : nil
  }

  // MARK: Tokenizer and scheduler

  func tokenizer() throws(ModelFileError) -> TokenizerSource? {
    let className = pipelineIndex?.json["tokenizer"]?.arrayValue?.last?.stringValue
    if let path = paths.tokenizer { return try TokenizerSource.open(path, className: className) }
    // The model's own file first, then the others in a fixed order.
    for archive in [modelArchive].compactMap({ $0 }) + cache.opened.map(\.archive) {
      if let source = try TokenizerSource.inArchive(archive) { return source }
    }
    for path in [paths.model, paths.textEncoder, paths.transformer].compactMap({ $0 }) {
      if let source = try TokenizerSource.around(HubCache.resolve(path), className: className) {
        return source
      }
    }
    return nil
  }

  func scheduler() throws(ModelFileError) -> ConfigurationFile? {
    guard let model, model.isFolder else { return nil }
    return try ConfigurationFile.ifPresent(
      ModelFolder.join(model.path, "scheduler/scheduler_config.json"))
  }

  // MARK: Tensors of no part

  /// What is strange about the files of parts without being a fault.
  ///
  /// - Parameter sources: the parts that are used.
  /// - Returns: one line each.
  func notes(_ sources: [PartSource]) -> [String] {
    let used = Set(sources.map(\.weights.path))
    return cache.opened.filter { used.contains($0.archive.path) }.flatMap(\.notes)
  }

  /// Refuses files that hold tensors which no part of the model explains.
  ///
  /// - Parameter sources: the parts that are used.
  /// - Throws: `ModelFileError` for the first such tensor.
  func checkForeignTensors(_ sources: [PartSource]) throws(ModelFileError) {
    guard !hints.allowsExtraTensors else { return }
    let used = Set(sources.map(\.weights.path))
    for contents in cache.opened where used.contains(contents.archive.path) {
      guard let index = contents.foreign.first else { continue }
      let record = contents.archive.tensors.records[index]
      throw ModelFileError(
        path: contents.archive.path, kind: .malformed,
        fault: "tensor '\(record.name)' of shape \(record.shape) is unexpected: no part of an "
          + "AuraFlow model has this name (--allow-extra-tensors skips it)")
    }
  }
}
