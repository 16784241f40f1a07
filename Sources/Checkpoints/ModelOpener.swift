import Foundation
import ModelFiles
import StrictJSON

/// Opens the files of a model's parts, wherever they lie.
struct ModelOpener {
  let paths: ModelPaths
  let hints: ArchitectureHints
  /// The family of the model.
  private let choice: FamilyChoice
  private let cache: ArchiveCache
  /// What lies where `--model` points; nil if it does not.
  private(set) var model: ModelFinder?
  /// Not among the archives: it has no parts of its own.
  private var overlays: [TensorArchive] = []

  /// Looks through the model's own path, also if every part is named by itself: its tokenizer and
  /// defaults are used then.
  ///
  /// - Parameters:
  ///   - wanted: the parts to come.
  ///   - choice: the family that they are of.
  ///   - paths: where they are.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - cache: opens files.
  /// - Throws: `ModelFileError` if the model's file cannot be opened or is another pipeline.
  init(
    _ wanted: [Slot], of choice: FamilyChoice, paths: ModelPaths, hints: ArchitectureHints,
    _ cache: ArchiveCache
  ) throws(ModelFileError) {
    self.paths = paths
    self.hints = hints
    self.choice = choice
    self.cache = cache
    guard let path = paths.model else { return }
    let model = try ModelFinder(
      path, for: wanted.filter { paths.part($0) == nil }, of: choice, cache)
    self.model = model
    try checkPipelineClass()
  }

  private var family: FamilyDescription { choice.family }

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
    _ parts: [Slot], alternative: ([Slot]) -> String? = { _ in nil }
  ) throws(ModelFileError) -> [PartSource] {
    var places: [(part: Slot, contents: ArchiveContents)] = []
    for part in parts {
      if let contents = try contents(of: part) { places.append((part, contents)) }
    }
    // What is there and cannot be run comes before what would have to be found for it.
    for (part, contents) in places {
      if let fault = contents.fault(of: part) { throw fault }
    }
    let missing = parts.filter { part in !places.contains { $0.part == part } }
    guard missing.isEmpty else {
      let found = try tokenizers(of: parts)
      let silent = parts.filter { part in !found.contains { $0.slot == part } }
      throw MissingParts.error(
        missing, of: choice, tokenizers: silent.compactMap(\.tokenizer), model,
        path: paths.model ?? places.first?.contents.archive.path ?? "model",
        alternative: alternative)
    }
    var sources: [PartSource] = []
    for (part, contents) in places { sources.append(try source(part, contents)) }
    return sources
  }

  private mutating func source(
    _ part: Slot, _ contents: ArchiveContents
  ) throws(ModelFileError) -> PartSource {
    guard let place = contents.place(of: part) else {
      throw MissingParts.notFound(part, of: choice, in: contents)
    }
    if overlays.isEmpty {
      for path in paths.overlays {
        overlays.append(try TensorArchive(path: path, access: paths.access))
      }
    }
    return PartSource(
      weights: StoredWeights(
        contents, at: place, as: part, cache.catalog.matcher, overlays: overlays),
      family: family,
      configuration: try configuration(of: part, beside: contents.archive.path), hints: hints)
  }

  /// Opens the adapters that were named, and adds them to the weights of parts.
  ///
  /// - Parameter sources: the parts.
  /// - Returns: what is to be told of them; nil if none was named.
  /// - Throws: `ModelFileError` for a file that is no adapter of the model.
  func attachAdapters(to sources: [PartSource]) throws(ModelFileError) -> ModelAdapters? {
    guard !paths.adapters.isEmpty else { return nil }
    let adapters = try ModelAdapters(
      paths.adapters, access: paths.access, to: sources, of: family)
    for source in sources { source.weights.adapters = adapters.part(source.slot) }
    return adapters
  }

  /// The archive that holds a part; nil if it is nowhere.
  private func contents(of part: Slot) throws(ModelFileError) -> ArchiveContents? {
    guard let path = paths.part(part) else { return try model?.archive(of: part) }
    let finder = try ModelFinder(path, for: [part], of: choice, cache)
    if let found = try finder.archive(of: part) { return found }
    if let fault = finder.faults.first { throw fault }
    guard let first = finder.contents.first else { throw ModelFolder.noWeights(in: path) }
    throw MissingParts.notFound(part, of: choice, in: first)
  }

  private func checkPipelineClass() throws(ModelFileError) {
    guard let index = pipelineIndex, let folder = paths.model else { return }
    if let name = index.json["_class_name"]?.stringValue,
      let (kind, _) = cache.catalog.relative(ofPipelineClass: name)
    {
      throw ModelFileError(
        path: folder, kind: .unsupported,
        fault: "is \(kind.description), as its pipeline's class '\(name.prefix(60))' says: "
          + cache.catalog.advice(about: kind))
    }
    let pipelines = cache.catalog.families.map(\.pipelineClass)
    if let name = index.json["_class_name"], !(name.stringValue.map(pipelines.contains) ?? false) {
      throw ModelFileError(
        path: folder, kind: .unsupported,
        fault:
          "holds a pipeline of class \(name.text().prefix(60)), only "
          + "\(pipelines.joined(separator: ", ")) can be run"
      )
    }
    for slot in family.slots {
      let supported = slot.classes
      guard let name = index.json[slot.key]?.arrayValue?.last?.stringValue else { continue }
      guard supported.contains(name) else {
        throw ModelFileError(
          path: index.path, kind: .unsupported,
          fault: "'\(slot.key)' is a \(name.prefix(60)), supported: "
            + supported.joined(separator: ", "))
      }
    }
  }

  private func configuration(
    of part: Slot, beside path: String
  ) throws(ModelFileError) -> ConfigurationFile? {
    let folder = ModelFolder.folder(of: path)
    guard
      let file = try ConfigurationFile.ifPresent(ModelFolder.join(folder, "config.json"))
    else { return nil }
    // A folder of downloads may hold the configuration of something else.
    return file.describes(part) ? file : nil
  }

  // MARK: Tokenizer and scheduler

  /// The tokenizers of those parts that have one and of which it is there.
  ///
  /// - Parameter slots: the parts.
  /// - Returns: tokenizers in the order of the parts.
  /// - Throws: `ModelFileError` for one that is named and is not what it should be, or that is
  ///   malformed.
  func tokenizers(of slots: [Slot]) throws(ModelFileError) -> [SlotTokenizer] {
    var found: [SlotTokenizer] = []
    for slot in slots {
      guard let place = slot.tokenizer, let source = try tokenizer(place, of: slot) else {
        continue
      }
      found.append(
        SlotTokenizer(
          slot: slot, place: place, source: source,
          isNamed: paths.tokenizers[place.option] != nil))
    }
    return found
  }

  private func tokenizer(
    _ place: TokenizerPlace, of slot: Slot
  ) throws(ModelFileError) -> TokenizerSource? {
    let className = pipelineIndex?.json[place.key]?.arrayValue?.last?.stringValue
    let search = TokenizerSearch(place, className: className, cache.catalog)
    if let path = paths.tokenizers[place.option] { return try search.open(path) }
    // The model's own file first, then the others in a fixed order.
    let archives = [modelArchive].compactMap { $0 } + cache.opened.map(\.archive)
    if let source = try search.inArchives(archives) { return source }
    let readers = [slot] + family.slots.filter { $0.tokenizer != nil } + [family.denoiser]
    for path in [paths.model] + (readers + family.slots).map(paths.part) {
      guard let path else { continue }
      if let source = try search.around(HubCache.resolve(path)) { return source }
    }
    return search.outside()
  }

  func scheduler() throws(ModelFileError) -> ConfigurationFile? {
    guard let model, model.isFolder else { return nil }
    return try ConfigurationFile.scheduler(
      ModelFolder.join(model.path, "scheduler/scheduler_config.json"))
  }

  /// The scheduler's configuration among a file's metadata; nil if there is none.
  func scheduler(in gguf: GGUFFile?) throws(ModelFileError) -> ConfigurationFile? {
    let key = family.metadata.schedulerConfiguration
    guard let gguf, let stored = gguf.value(for: key) else { return nil }
    guard let text = stored.string else {
      throw ModelFileError(
        path: gguf.file.path, kind: .malformed, fault: "metadata '\(key)' is not a string")
    }
    return try ConfigurationFile(text, of: key, in: gguf.file.path)
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
        fault: "tensor '\(record.name)' of shape \(record.shape) is unexpected: no part of "
          + "\(family.modelPhrase) has this name (--allow-extra-tensors skips it)")
    }
  }
}
