import Foundation
import ModelFiles
import StrictJSON

/// Opens each file once and remembers what was found where.
struct ModelOpener {
  let paths: ModelPaths
  let hints: ArchitectureHints
  private var archives: [String: TensorArchive] = [:]
  private var placesByPath: [String: [PartLocation]] = [:]
  /// The single file with several parts, where `--model` names one.
  private(set) var modelArchive: TensorArchive?
  /// `model_index.json` of a diffusers folder.
  private(set) var pipelineIndex: ConfigurationFile?
  /// Not among the archives: it has no parts of its own.
  private var overlay: TensorArchive?

  init(paths: ModelPaths, hints: ArchitectureHints) {
    self.paths = paths
    self.hints = hints
  }

  // MARK: Parts

  /// Opens the model's own file, also if every part is named by itself: its tokenizer and defaults
  /// are used then.
  mutating func openModel() throws(ModelFileError) {
    guard let model = paths.model else { return }
    if ModelFolder.isFolder(model) {
      pipelineIndex = try ConfigurationFile.ifPresent(ModelFolder.join(model, "model_index.json"))
      try checkPipelineClass(model)
    } else {
      modelArchive = try open(model)
    }
  }

  mutating func part(_ part: ModelPart) throws(ModelFileError) -> PartSource {
    guard let path = try weightsPath(of: part) else {
      throw ModelFileError(
        path: paths.model ?? "model", kind: .notFound,
        fault: "no \(part.rawValue) given: name it with \(Self.flag(of: part)) or a whole model "
          + "with --model")
    }
    let archive = try open(path)
    guard let place = places(in: archive).first(where: { $0.part == part }) else {
      throw Self.notFound(part, in: archive)
    }
    if overlay == nil, let path = paths.overlay {
      overlay = try TensorArchive(path: path, access: paths.access)
    }
    return PartSource(
      weights: ComponentWeights(archive, at: place, overlay: overlay),
      configuration: try configuration(of: part, beside: path), hints: hints)
  }

  private mutating func weightsPath(of part: ModelPart) throws(ModelFileError) -> String? {
    if let path = paths.path(of: part) {
      guard ModelFolder.isFolder(path) else { return path }
      let inner = ModelFolder.join(path, Self.folderName(of: part))
      return try ModelFolder.weights(in: ModelFolder.isFolder(inner) ? inner : path)
    }
    guard let model = paths.model else { return nil }
    guard ModelFolder.isFolder(model) else { return model }
    let folder = ModelFolder.join(model, Self.folderName(of: part))
    if ModelFolder.isFolder(folder) { return try ModelFolder.weights(in: folder) }
    if FileManager.default.fileExists(atPath: ModelFolder.join(model, "model_index.json")) {
      throw ModelFileError(
        path: model, kind: .notFound,
        fault: "has no folder '\(Self.folderName(of: part))' with the \(part.rawValue)")
    }
    let path = try ModelFolder.weights(in: model)
    modelArchive = try open(path)
    return path
  }

  /// Classes that a pipeline's index may name for its parts.
  private static let classes = [
    ("transformer", ["AuraFlowTransformer2DModel"]),
    ("text_encoder", ["UMT5EncoderModel"]), ("vae", ["AutoencoderKL", "AutoencoderTiny"]),
  ]

  private func checkPipelineClass(_ folder: String) throws(ModelFileError) {
    guard let index = pipelineIndex else { return }
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

  private mutating func open(_ path: String) throws(ModelFileError) -> TensorArchive {
    if let archive = archives[path] { return archive }
    let archive = try TensorArchive(path: path, access: paths.access)
    archives[path] = archive
    return archive
  }

  /// The parts that lie in an archive.
  private mutating func places(in archive: TensorArchive) -> [PartLocation] {
    if let known = placesByPath[archive.path] { return known }
    let places = ComponentLocator.locate(in: archive.tensors)
    placesByPath[archive.path] = places
    return places
  }

  // MARK: Tokenizer and scheduler

  func tokenizer() throws(ModelFileError) -> TokenizerSource? {
    let className = pipelineIndex?.json["tokenizer"]?.arrayValue?.last?.stringValue
    if let path = paths.tokenizer { return try TokenizerSource.open(path, className: className) }
    // The model's own file first, then the others in a fixed order.
    let opened = [modelArchive] + archives.keys.sorted().map { archives[$0] }
    for case let archive? in opened {
      if let source = try TokenizerSource.inArchive(archive) { return source }
    }
    for path in [paths.model, paths.textEncoder, paths.transformer].compactMap({ $0 }) {
      let folder = ModelFolder.isFolder(path) ? path : ModelFolder.folder(of: path)
      for candidate in [ModelFolder.join(folder, "tokenizer"), folder]
      where ModelFolder.isFolder(candidate) {
        if let source = try TokenizerSource.inFolder(candidate, className: className) {
          return source
        }
      }
    }
    return nil
  }

  func scheduler() throws(ModelFileError) -> ConfigurationFile? {
    guard let model = paths.model, ModelFolder.isFolder(model) else { return nil }
    return try ConfigurationFile.ifPresent(
      ModelFolder.join(model, "scheduler/scheduler_config.json"))
  }

  // MARK: Tensors of no part

  /// Refuses files that hold tensors which no part of the model explains.
  mutating func checkForeignTensors() throws(ModelFileError) {
    guard !hints.allowsExtraTensors else { return }
    for path in archives.keys.sorted() {
      guard let archive = archives[path],
        let index = ForeignTensors.first(in: archive, besides: places(in: archive))
      else { continue }
      let record = archive.tensors.records[index]
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "tensor '\(record.name)' of shape \(record.shape) is unexpected: no part of an "
          + "AuraFlow model has this name (--allow-extra-tensors skips it)")
    }
  }

  // MARK: Names

  private static func flag(of part: ModelPart) -> String {
    switch part {
    case .transformer: "--transformer"
    case .textEncoder: "--text-encoder"
    case .autoencoder: "--vae"
    }
  }

  private static func folderName(of part: ModelPart) -> String {
    switch part {
    case .transformer: "transformer"
    case .textEncoder: "text_encoder"
    case .autoencoder: "vae"
    }
  }

  private static func notFound(_ part: ModelPart, in archive: TensorArchive) -> ModelFileError {
    let example =
      switch part {
      case .transformer: "single_layers.0.attn.w1q.weight"
      case .textEncoder: "enc.blk.0.attn_q.weight"
      case .autoencoder: "decoder.conv_in.weight"
      }
    let architecture = archive.gguf?.value(for: "general.architecture")?.string
    return ModelFileError(
      path: archive.path, kind: .unsupported,
      fault: "holds no \(part.rawValue) of an AuraFlow model"
        + (architecture.map { " (its architecture is '\($0.prefix(40))')" } ?? "")
        + ": expected tensors such as '\(example)'; name another file with \(flag(of: part))")
  }
}
