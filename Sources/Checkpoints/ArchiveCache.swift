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

extension ArchiveCache {
  /// The family of a model: the one that the pipeline's index names, else the one whose denoiser is
  /// where the model is said to be, else the one whose settings a file holds, else one that has all
  /// parts which are named, else that of which most parts are there.
  ///
  /// What cannot be opened tells nothing; it is reported when parts are looked for.
  ///
  /// - Parameter paths: where the parts are.
  /// - Returns: the catalogue's first where nothing tells.
  func family(of paths: ModelPaths) -> FamilyDescription {
    guard catalog.families.count > 1 else { return catalog.fallback }
    if let family = indexedFamily(paths.model) { return family }
    let found = catalog.families.map { family in
      family.slots.map { slot in
        let path = paths.part(slot) ?? paths.model
        let finder = path.flatMap { try? ModelFinder($0, for: [slot], of: family, self) }
        return finder?.candidates[slot]
      }
    }
    // The denoiser's place is the first.
    if !found.contains(where: { $0.first.flatMap { $0 } != nil }), let family = settingsFamily() {
      return family
    }
    let best = catalog.families.indices.max { left, right in
      func rank(_ family: Int) -> (Int, Int, Int, Int, Int) {
        let (slots, files) = (catalog.families[family].slots, found[family])
        // What looks like one network may be its kin.
        let sure = zip(slots, files).count { slot, files in files?.first?.isSure(of: slot) == true }
        return (
          files.first.flatMap { $0 } == nil ? 0 : 1, paths.fit(catalog.families[family]) ? 1 : 0,
          sure, files.count { $0 != nil }, -family
        )
      }
      return rank(left) < rank(right)
    }
    return best.map { catalog.families[$0] } ?? catalog.fallback
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
