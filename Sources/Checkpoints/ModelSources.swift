import Foundation
import ModelFiles
import StrictJSON

/// Every part of a model, found and opened, in whatever layout it came.
package struct ModelSources {
  /// The family of the model.
  package let family: FamilyDescription
  package let tokenizer: TokenizerSource
  /// `scheduler_config.json` of a diffusers folder.
  package let scheduler: ConfigurationFile?
  /// The GGUF file whose metadata holds the model's defaults, if there is one.
  package let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines.
  package let notes: [String]
  private let parts: [PartSource]

  /// Opens the files of a model.
  ///
  /// - Parameters:
  ///   - paths: where the parts are.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - catalog: the families that it may be of.
  /// - Throws: `ModelFileError` naming the first missing part or faulty file.
  package init(
    _ paths: ModelPaths, hints: ArchitectureHints, in catalog: FamilyCatalog
  ) throws(ModelFileError) {
    let sources = try PartSources(paths, hints: hints, in: catalog) { $0.slots }
    parts = sources.parts
    family = sources.family
    tokenizer = try sources.expectTokenizer(paths)
    scheduler = sources.scheduler
    defaults = sources.defaults
    files = sources.files
    notes = sources.notes
  }

  /// The part of a place.
  ///
  /// - Throws: `ModelFileError` for a place that the family does not have.
  package func part(_ slot: Slot) throws(ModelFileError) -> PartSource {
    if let part = parts.first(where: { $0.slot == slot }) { return part }
    throw ModelFileError(
      path: files.first ?? "model", kind: .unsupported,
      fault: "is \(family.modelPhrase), which has no \(slot.name)")
  }
}

extension ModelSources {
  /// How pictures are made with a published model of this kind.
  ///
  /// - Throws: `ModelFileError` for a family that says nothing.
  package func publishedDefaults() throws(ModelFileError) -> SamplingDefaults {
    let denoiser = try part(family.denoiser)
    guard let defaults = family.defaults(having: denoiser.weights.has) else {
      throw denoiser.weights.malformed("is \(family.modelPhrase), of which no settings are known")
    }
    return defaults
  }
}

/// Some parts of a model, found and opened in whatever layout they came, with what lies beside
/// them.
package struct PartSources {
  /// The family of the model.
  package let family: FamilyDescription
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
  ///   - paths: where they are; `model` may also be a file or folder with nothing but one part.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - catalog: the families that they may be of.
  ///   - alternative: what could be done instead where parts are missing, given those that are
  ///     there.
  ///   - slots: which parts of a family to open.
  /// - Throws: `ModelFileError` naming all missing parts or the first faulty file; what `slots`
  ///   throws.
  package init(
    _ paths: ModelPaths, hints: ArchitectureHints, in catalog: FamilyCatalog,
    alternative: ([Slot]) -> String? = { _ in nil },
    opening slots: (FamilyDescription) throws(ModelFileError) -> [Slot]
  ) throws(ModelFileError) {
    let cache = ArchiveCache(catalog, access: paths.access)
    family = cache.family(of: paths)
    let wanted = try slots(family)
    var opener = try ModelOpener(wanted, of: family, paths: paths, hints: hints, cache)
    let sources = try opener.parts(wanted, alternative: alternative)
    parts = sources
    // Transformers and decoders by themselves have nothing to do with texts.
    tokenizer = wanted.contains { $0.tokenizer != nil } ? try opener.tokenizer() : nil
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
    let readers = family.slots.filter { $0.tokenizer != nil }
    throw MissingParts.error(
      [], of: family, isTokenizerMissing: true, nil,
      path: paths.model ?? readers.lazy.compactMap { paths.parts[$0.key] }.first ?? "model")
  }
}

extension PartSource {
  /// Opens a single part by itself.
  ///
  /// - Parameters:
  ///   - slot: what to look for.
  ///   - family: the family that it is of.
  ///   - path: a file, or the part's folder.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - catalog: the networks that the file may hold.
  /// - Throws: `ModelFileError` if the file is malformed or holds no such part.
  package init(
    _ slot: Slot, of family: FamilyDescription, path: String,
    hints: ArchitectureHints = ArchitectureHints(), in catalog: FamilyCatalog
  ) throws(ModelFileError) {
    var paths = ModelPaths()
    paths.parts[slot.key] = path
    let cache = ArchiveCache(catalog, access: paths.access)
    var opener = try ModelOpener([slot], of: family, paths: paths, hints: hints, cache)
    self = try opener.parts([slot])[0]
  }

  /// Opens the denoiser of any family by itself.
  ///
  /// - Parameters:
  ///   - path: a file, or the part's folder.
  ///   - catalog: the families that it may be of.
  /// - Throws: `ModelFileError` if the file is malformed or holds no denoiser.
  package init(denoiserAt path: String, in catalog: FamilyCatalog) throws(ModelFileError) {
    let paths = ModelPaths(model: path)
    let family = ArchiveCache(catalog, access: paths.access).family(of: paths)
    try self.init(family.denoiser, of: family, path: path, in: catalog)
  }
}
