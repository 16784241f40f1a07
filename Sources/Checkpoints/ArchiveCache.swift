import ModelFiles

/// Opens each file once and remembers what was found in it.
final class ArchiveCache {
  /// The networks that are looked for.
  let catalog: FamilyCatalog
  private let access: FileAccess
  private var contents: [String: ArchiveContents] = [:]

  init(_ catalog: FamilyCatalog, access: FileAccess) {
    self.catalog = catalog
    self.access = access
  }

  /// Everything that was opened, by path.
  var opened: [ArchiveContents] { contents.keys.sorted().compactMap { contents[$0] } }

  /// Lets a file go.
  func forget(_ path: String) { contents[path] = nil }

  func open(_ path: String) throws(ModelFileError) -> ArchiveContents {
    if let known = contents[path] { return known }
    let archive = try TensorArchive(path: path, access: access)
    // Whichever of several files was named.
    if let known = contents[archive.path] { return known }
    let found = ArchiveContents(archive, catalog)
    contents[path] = found
    return found
  }
}

/// The family of a model, as far as its files tell it.
struct FamilyChoice {
  /// What the model is taken for.
  let family: FamilyDescription
  /// What is as likely, in the catalogue's order; nothing where something tells.
  private let others: [FamilyDescription]

  init(_ family: FamilyDescription, or others: [FamilyDescription] = []) {
    self.family = family
    self.others = others
  }

  /// All that it may be.
  var candidates: [FamilyDescription] { [family] + others }
  /// Whether something tells.
  var isTold: Bool { others.isEmpty }

  /// Models of all that it may be, with articles.
  var modelPhrase: String { candidates.map(\.modelPhrase).joined(separator: " or ") }
}

extension ArchiveCache {
  /// The family of a model: the one that the pipeline's index names, else the one whose denoiser is
  /// where the model is said to be, else the one whose settings a file holds, else one that has all
  /// parts which are named, else that of which most parts are there.
  ///
  /// What cannot be opened tells nothing; it is reported when parts are looked for.
  ///
  /// - Parameter paths: where the parts are.
  /// - Returns: the first of those that are as likely, and the others.
  func family(of paths: ModelPaths) -> FamilyChoice {
    guard catalog.families.count > 1 else { return FamilyChoice(catalog.fallback) }
    if let family = indexedFamily(paths.model) { return FamilyChoice(family) }
    let found = catalog.families.map { family in
      family.slots.map { slot in
        let path = paths.part(slot) ?? paths.model
        let finder = path.flatMap {
          try? ModelFinder($0, for: [slot], of: FamilyChoice(family), self)
        }
        return finder?.candidates[slot]
      }
    }
    // The denoiser's place is the first.
    if !found.contains(where: { $0.first.flatMap { $0 } != nil }), let family = settingsFamily() {
      return FamilyChoice(family)
    }
    let ranks = zip(catalog.families, found).map { family, files in
      // What looks like one network may be its kin.
      let sure = zip(family.slots, files).count { slot, files in
        files?.first?.isSure(of: slot) == true
      }
      return [
        files.first.flatMap { $0 } == nil ? 0 : 1, paths.fit(family) ? 1 : 0, sure,
        files.count { $0 != nil },
      ]
    }
    let best = ranks.max { $0.lexicographicallyPrecedes($1) }
    let likeliest = zip(catalog.families, ranks).filter { $0.1 == best }.map(\.0)
    return FamilyChoice(likeliest.first ?? catalog.fallback, or: Array(likeliest.dropFirst()))
  }

  /// The family whose settings are in the metadata of what was opened, such as a part that was
  /// converted by itself; nil where there are none, or those of several families.
  private func settingsFamily() -> FamilyDescription? {
    let keys = opened.compactMap(\.archive.gguf).flatMap { $0.metadata.map(\.key) }
    let families = catalog.families.filter { keys.contains(where: $0.metadata.owns) }
    return families.count == 1 ? families[0] : nil
  }

  /// The family of the class that a pipeline's folder names; nil if there is none.
  private func indexedFamily(_ path: String?) -> FamilyDescription? {
    guard let path, let index = try? ConfigurationFile.pipelineIndex(HubCache.resolve(path)) else {
      return nil
    }
    guard let name = index.json["_class_name"]?.stringValue else { return nil }
    return catalog.families.first { $0.pipelineClass == name }
      ?? catalog.relative(ofPipelineClass: name)?.family
  }
}
