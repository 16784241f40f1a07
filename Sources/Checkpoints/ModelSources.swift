import Foundation
import ModelFiles
import StrictJSON

/// Every part of a model, found and opened, in whatever layout it came.
package struct ModelSources {
  package let transformer: PartSource
  package let textEncoder: PartSource
  package let autoencoder: PartSource
  package let tokenizer: TokenizerSource
  /// `scheduler_config.json` of a diffusers folder.
  package let scheduler: ConfigurationFile?
  /// The GGUF file whose metadata holds the model's defaults, if there is one.
  package let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines.
  package let notes: [String]

  /// Opens the files of a model.
  ///
  /// - Parameters:
  ///   - paths: where the parts are.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Throws: `ModelFileError` naming the first missing part or faulty file.
  package init(_ paths: ModelPaths, hints: ArchitectureHints) throws(ModelFileError) {
    let sources = try PartSources(ModelPart.allCases, paths, hints: hints)
    (transformer, textEncoder, autoencoder) = (
      sources.parts[0], sources.parts[1], sources.parts[2]
    )
    self.tokenizer = try sources.expectTokenizer(paths)
    scheduler = sources.scheduler
    defaults = sources.defaults
    files = sources.files
    notes = sources.notes
  }
}

/// Some parts of a model, found and opened in whatever layout they came, with what lies beside them.
package struct PartSources {
  /// In the order in which they were asked for.
  package let parts: [PartSource]
  /// The tokenizer, if there is one.
  package let tokenizer: TokenizerSource?
  /// `scheduler_config.json` of a diffusers folder.
  package let scheduler: ConfigurationFile?
  /// The GGUF file whose metadata holds the model's defaults, if there is one.
  package let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines.
  package let notes: [String]

  /// Opens parts.
  ///
  /// - Parameters:
  ///   - parts: what to open.
  ///   - paths: where they are; `model` may also be a file or folder with nothing but one part.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - alternative: what could be done instead where parts are missing, given those that are there.
  /// - Throws: `ModelFileError` naming all missing parts or the first faulty file.
  package init(
    _ parts: [ModelPart], _ paths: ModelPaths, hints: ArchitectureHints,
    alternative: ([ModelPart]) -> String? = { _ in nil }
  ) throws(ModelFileError) {
    var opener = try ModelOpener(parts, paths: paths, hints: hints)
    let sources = try opener.parts(parts, alternative: alternative)
    self.parts = sources
    // Transformers and decoders by themselves have nothing to do with texts.
    tokenizer = parts.contains(.textEncoder) ? try opener.tokenizer() : nil
    scheduler = try opener.scheduler()
    try opener.checkForeignTensors(sources)
    notes = opener.notes(sources)
    defaults = opener.modelArchive?.gguf ?? sources.first?.weights.archive.gguf
    let opened =
      (sources.map(\.weights.archive) + [opener.modelArchive].compactMap { $0 })
      .flatMap { $0.files.map(\.path) }
      + sources.compactMap { $0.configuration?.path } + sources.map(\.weights.path)
      + (tokenizer?.files ?? [])
      + [scheduler?.path, opener.pipelineIndex?.path].compactMap { $0 }
    var seen: Set<String> = []
    files = opened.filter { seen.insert($0).inserted }
  }

  /// The tokenizer, without which nothing can be drawn.
  ///
  /// - Parameter paths: where the parts were looked for.
  /// - Returns: where it is described.
  /// - Throws: `ModelFileError` if there is none.
  package func expectTokenizer(_ paths: ModelPaths) throws(ModelFileError) -> TokenizerSource {
    if let tokenizer { return tokenizer }
    throw MissingParts.error(
      [], isTokenizerMissing: true, nil, path: paths.model ?? paths.textEncoder ?? "model")
  }
}

extension PartSource {
  /// Opens a single part by itself.
  ///
  /// - Parameters:
  ///   - part: what to look for.
  ///   - path: a file, or the part's folder.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Throws: `ModelFileError` if the file is malformed or holds no such part.
  package init(
    _ part: ModelPart, path: String, hints: ArchitectureHints = ArchitectureHints()
  ) throws(ModelFileError) {
    var paths = ModelPaths()
    switch part {
    case .transformer: paths.transformer = path
    case .textEncoder: paths.textEncoder = path
    case .autoencoder: paths.autoencoder = path
    }
    var opener = try ModelOpener([part], paths: paths, hints: hints)
    self = try opener.parts([part])[0]
  }
}
