import ModelFiles

/// Finds which files at a path hold which parts of a model: the one finder of every verb, so that
/// what one of them finds the others use.
///
/// A path is a file, a pipeline's folder with a folder for each part, a folder of downloads side by
/// side, a single part's folder, or a repository in the cache of Hugging Face's hub.
struct ModelFinder {
  /// The path, in a hub's cache the snapshot's.
  let path: String
  /// `model_index.json` of a pipeline's folder.
  let pipelineIndex: ConfigurationFile?
  /// All families, and what their files may be mistaken for.
  let catalog: FamilyCatalog
  /// Whether the path is a folder.
  let isFolder: Bool
  /// The family whose parts are looked for.
  let choice: FamilyChoice
  /// Everything that was opened, in order.
  private(set) var contents: [ArchiveContents] = []
  /// For each part the archives that hold it; more than one means that somebody has to choose.
  private(set) var candidates: [Slot: [ArchiveContents]] = [:]
  /// Files that cannot be used.
  private(set) var faults: [ModelFileError] = []
  /// Those of them that lie in the folder of a part.
  private(set) var partFaults: [(part: Slot, error: ModelFileError)] = []

  /// Looks through a path.
  ///
  /// - Parameters:
  ///   - path: a file or folder.
  ///   - wanted: parts that are looked for in a folder.
  ///   - choice: the family that they are of.
  ///   - cache: opens files.
  /// - Throws: `ModelFileError` if a file that was named itself cannot be opened.
  init(
    _ path: String, for wanted: [Slot], of choice: FamilyChoice, _ cache: ArchiveCache
  ) throws(ModelFileError) {
    self.path = HubCache.resolve(path)
    self.choice = choice
    catalog = cache.catalog
    isFolder = FileSystem.isFolder(self.path)
    guard isFolder else {
      pipelineIndex = nil
      let file = try cache.open(self.path)
      contents = [file]
      for slot in family.slots where file.place(of: slot) != nil { candidates[slot] = [file] }
      return
    }
    pipelineIndex = try ConfigurationFile.pipelineIndex(self.path)
    for part in wanted {
      let folder = ModelFolder.join(self.path, part.key)
      guard FileSystem.isFolder(folder) else { continue }
      let known = faults.count
      let found = archives(in: folder, cache)
      add(found, [part])
      // What else lies there is shown, not used.
      if candidates[part] == nil, let first = found.first { noteUseless(first.contents, part) }
      partFaults += faults[known...].map { (part, $0) }
    }
    let rest = wanted.filter { candidates[$0] == nil }
    // A pipeline's own files are often one of all parts beside the folders.
    if !rest.isEmpty { add(archives(in: self.path, cache), rest) }
  }

  private var family: FamilyDescription { choice.family }

  /// An archive of a folder, and whether its files are called as tools call a part's weights.
  private typealias Found = (contents: ArchiveContents, hasKnownName: Bool)

  /// Opens every complete checkpoint of a folder; of several variants of one the most usual.
  private mutating func archives(in folder: String, _ cache: ArchiveCache) -> [Found] {
    var found: [Found] = []
    var stems: Set<String> = []
    for set in CheckpointSet.all(in: folder) {
      guard !set.hasKnownName || !stems.contains(set.stem) else { continue }
      do throws(ModelFileError) {
        let opened = try open(set, cache)
        stems.insert(set.stem)
        // What holds nothing of a model need not stay open: folders may have thousands of adapters.
        if opened.places.isEmpty, found.count >= Self.shownStrangers {
          cache.forget(set.path)
        } else {
          found.append((opened, set.hasKnownName))
        }
      } catch {
        faults.append(error)
      }
    }
    return found
  }

  private func open(
    _ set: CheckpointSet, _ cache: ArchiveCache
  ) throws(ModelFileError) -> ArchiveContents {
    guard let error = set.incompleteness else { return try cache.open(set.path) }
    // A GGUF says itself whether it is one of several, whatever its name.
    guard FileSystem.fileExtension(of: set.path) == "gguf", let whole = try? cache.open(set.path)
    else { throw error }
    return whole
  }

  /// Files of a folder up to which those without a part are listed too.
  private static let shownStrangers = 16

  private mutating func add(_ found: [Found], _ parts: [Slot]) {
    contents += found.map(\.contents)
    for part in parts {
      let holding = found.filter { $0.contents.place(of: part) != nil }
      guard !holding.isEmpty else { continue }
      let known = holding.first(where: \.hasKnownName)
      candidates[part] = known.map { [$0.contents] } ?? holding.map(\.contents)
    }
  }

  private mutating func noteUseless(_ contents: ArchiveContents, _ part: Slot) {
    faults.append(MissingParts.notFound(part, of: choice, in: contents))
  }

  // MARK: What was found

  /// What a file is that was named itself, if it looks like something else.
  var kind: ModelKind? { isFolder ? nil : contents[0].kind }

  /// The archive of a part; nil if there is none.
  ///
  /// - Throws: `ModelFileError` naming several, if somebody has to choose.
  func archive(of part: Slot) throws(ModelFileError) -> ArchiveContents? {
    guard let found = candidates[part], let first = found.first else { return nil }
    guard found.count == 1 else {
      throw ModelFileError(path: path, kind: .contradicted, fault: ambiguity(of: part, found))
    }
    return first
  }

  /// Parts that several files hold, as lines.
  var ambiguities: [String] {
    family.slots.compactMap { part in
      guard let found = candidates[part], found.count > 1 else { return nil }
      return ambiguity(of: part, found)
    }
  }

  private func ambiguity(of part: Slot, _ found: [ArchiveContents]) -> String {
    let names = found.map { FileSystem.name(of: $0.archive.path) }
    return "several files hold a \(part.name) (\(names.prefix(4).joined(separator: ", "))"
      + (names.count > 4 ? ", ..." : "") + "): name one with \(part.flag)"
  }
}
