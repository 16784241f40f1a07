import Foundation
import ModelFiles
import StrictJSON

/// Every part of a model, found and opened, in whatever layout it came.
package struct ModelSources {
  /// The family of the model.
  package let family: FamilyDescription
  /// `scheduler_config.json` of a diffusers folder, or what a GGUF file has of one.
  package let scheduler: ConfigurationFile?
  /// The GGUF file whose metadata holds the model's defaults, if there is one.
  package let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines; see `PartSources`.
  package var notes: [String] { sources.notes }
  /// Whether text encoders and their tokenizers were opened.
  package let hasTextEncoders: Bool
  private let sources: PartSources
  private let parts: [PartSource]
  private let tokenizers: [SlotTokenizer]

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
    hasTextEncoders = paths.opensTextEncoders
    let sources = try PartSources(paths, hints: hints, in: catalog) { family in
      // What reads texts has a tokenizer.
      family.slots.filter { paths.opensTextEncoders || $0.tokenizer == nil }
    }
    parts = sources.parts
    family = sources.family
    try sources.expectTokenizers(paths)
    tokenizers = sources.tokenizers
    scheduler = sources.scheduler
    defaults = sources.defaults
    files = sources.files
    self.sources = sources
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

  /// The tokenizer of a text encoder's place.
  ///
  /// - Throws: `ModelFileError` for a place that the family does not have, or that has none.
  package func tokenizer(of slot: Slot) throws(ModelFileError) -> TokenizerSource {
    if let found = tokenizers.first(where: { $0.slot == slot }) { return found.source }
    throw ModelFileError(
      path: files.first ?? "model", kind: .unsupported,
      fault: "is \(family.modelPhrase), which has no tokenizer of a \(slot.name)")
  }

  /// The tokenizers that the user named.
  package var namedTokenizers: [SlotTokenizer] { tokenizers.filter(\.isNamed) }
}

/// The tokenizer of a text encoder.
package struct SlotTokenizer: Sendable {
  /// The text encoder's place.
  package let slot: Slot
  /// The tokenizer's own place.
  package let place: TokenizerPlace
  /// Where it is described.
  package let source: TokenizerSource
  /// Whether the user named it.
  package let isNamed: Bool
}

extension ModelSources {
  /// How pictures are made with a published model of this kind.
  ///
  /// - Throws: `ModelFileError` if there is no denoiser.
  package func publishedDefaults() throws(ModelFileError) -> SamplingDefaults {
    family.defaults(having: try part(family.denoiser).weights.has)
  }
}

/// Some parts of a model, found and opened in whatever layout they came, with what lies beside
/// them.
package struct PartSources {
  /// The family of the model.
  package let family: FamilyDescription
  /// In the order in which they were asked for.
  package let parts: [PartSource]
  /// The tokenizers of those parts that have one and of which it is there, in the same order.
  package let tokenizers: [SlotTokenizer]
  /// `scheduler_config.json` of a diffusers folder, or what a GGUF file has of one.
  package let scheduler: ConfigurationFile?
  /// The GGUF file whose metadata holds the model's defaults, if there is one.
  package let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines. What adapters do not change is
  /// known when the networks are opened.
  package var notes: [String] { fileNotes + (adapters?.notes ?? []) }
  private let fileNotes: [String]
  private let adapters: ModelAdapters?

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
    let choice = cache.family(of: paths)
    family = choice.family
    try paths.check(for: family)
    try hints.check(for: family, cache.catalog)
    let wanted = try slots(family)
    var opener = try ModelOpener(wanted, of: choice, paths: paths, hints: hints, cache)
    let sources = try opener.parts(wanted, alternative: alternative)
    parts = sources
    adapters = try opener.attachAdapters(to: sources)
    // Transformers and decoders by themselves have nothing to do with texts.
    let tokenizers = try opener.tokenizers(of: wanted)
    self.tokenizers = tokenizers
    let gguf = opener.modelArchive?.gguf ?? sources.first?.weights.archive.gguf
    if let file = try opener.scheduler() {
      scheduler = file
    } else {
      scheduler = try opener.scheduler(in: gguf)
    }
    try opener.checkForeignTensors(sources)
    fileNotes = opener.notes(sources)
    defaults = gguf
    let opened =
      (sources.map(\.weights.archive) + [opener.modelArchive].compactMap { $0 })
      .flatMap { $0.files.map(\.path) }
      + sources.compactMap { $0.configuration?.path } + sources.map(\.weights.path)
      + tokenizers.flatMap(\.source.files) + (adapters?.files ?? [])
      + [scheduler?.path, opener.pipelineIndex?.path].compactMap { $0 }
    var seen: Set<String> = []
    files = opened.filter { seen.insert($0).inserted }
  }

  /// The tokenizer of a text encoder's place; nil if there is none.
  package func tokenizer(of slot: Slot) -> TokenizerSource? {
    tokenizers.first { $0.slot == slot }?.source
  }

  /// Checks that no part lacks its tokenizer, without which nothing can be drawn.
  ///
  /// - Parameter paths: where the parts were looked for.
  /// - Throws: `ModelFileError` naming all that are missing.
  package func expectTokenizers(_ paths: ModelPaths) throws(ModelFileError) {
    let missing = parts.map(\.slot).filter { $0.tokenizer != nil && tokenizer(of: $0) == nil }
    guard !missing.isEmpty else { return }
    let readers = missing + family.slots.filter { $0.tokenizer != nil }
    throw MissingParts.error(
      [], of: FamilyChoice(family), tokenizers: missing.compactMap(\.tokenizer), nil,
      path: paths.model ?? readers.lazy.compactMap(paths.part).first ?? "model")
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
    try self.init(
      slot, of: FamilyChoice(family), path: path, hints: hints,
      ArchiveCache(catalog, access: ModelPaths().access))
  }

  /// Opens the denoiser of any family by itself.
  ///
  /// - Parameters:
  ///   - path: a file, or the part's folder.
  ///   - adapters: what is added to its weights.
  ///   - catalog: the families that it may be of.
  /// - Throws: `ModelFileError` if the file is malformed or holds no denoiser.
  package init(
    denoiserAt path: String, adapters: [AdapterPath] = [], in catalog: FamilyCatalog
  ) throws(ModelFileError) {
    let paths = ModelPaths(model: path)
    let cache = ArchiveCache(catalog, access: paths.access)
    let choice = cache.family(of: paths)
    try self.init(choice.family.denoiser, of: choice, path: path, adapters: adapters, cache)
  }

  /// Opens a decoder of latents by itself: all families take it in the same place.
  ///
  /// - Parameters:
  ///   - path: its file or folder.
  ///   - catalog: the families that it may be of.
  /// - Throws: `ModelFileError` if it holds none.
  package init(decoderAt path: String, in catalog: FamilyCatalog) throws(ModelFileError) {
    let paths = ModelPaths(model: path)
    let cache = ArchiveCache(catalog, access: paths.access)
    let choice = cache.family(of: paths)
    guard let slot = choice.family.slots.first(where: { $0.option == "vae" }) else {
      throw ModelFileError(path: path, kind: .unsupported, fault: "is of a family without a VAE")
    }
    try self.init(slot, of: choice, path: path, cache)
  }

  private init(
    _ slot: Slot, of choice: FamilyChoice, path: String, adapters: [AdapterPath] = [],
    hints: ArchitectureHints = ArchitectureHints(), _ cache: ArchiveCache
  ) throws(ModelFileError) {
    var paths = ModelPaths()
    paths.adapters = adapters
    paths.parts[slot.option] = path
    var opener = try ModelOpener([slot], of: choice, paths: paths, hints: hints, cache)
    self = try opener.parts([slot])[0]
    _ = try opener.attachAdapters(to: [self])
  }
}
