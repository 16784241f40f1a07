import ModelFiles

/// What a file, an index or a folder holds, whether or not it can be run.
package struct ModelInspection {
  /// A part of a model that was recognized.
  package struct FoundPart {
    package let part: Slot
    /// The family that the part is of.
    package let family: FamilyDescription
    package let path: String
    package let scheme: String
    package let prefix: String
  }

  package let path: String
  /// The families that it may be of.
  let catalog: FamilyCatalog
  /// The family that it is of; where nothing tells, the catalogue's first.
  package let family: FamilyDescription
  /// The name of the family, where the pipeline's class or else its denoiser tells it.
  package var statedFamily: String? {
    let isTold =
      isPipelineFolder
      ? architecture == family.pipelineClass : parts.contains { $0.part == family.denoiser }
    return isTold && !contents.contains(where: \.isRelative) ? family.name : nil
  }
  /// How the model is laid out, in words.
  package let layout: String
  /// The architecture by metadata, else by the recognized parts; nil if neither tells.
  package let architecture: String?
  /// What the archive is, where no part was recognized in it: a line.
  package let kind: String?
  /// Whether it is an adapter, which nothing is missing to.
  package let isAdapter: Bool
  package let contents: [ArchiveContents]
  /// What would be used, and other parts that lie in the same files.
  package let parts: [FoundPart]
  /// The family's tokenizers with the files that describe them; nil for one that is not there.
  package let tokenizers: [(place: TokenizerPlace, path: String?)]
  /// What a run would need and this path does not have.
  package let missing: [String]
  /// Lines about parts that several files hold.
  package let ambiguities: [String]
  /// Files of a folder that cannot be used.
  package let faults: [ModelFileError]
  /// Whether the path is a pipeline's folder, which should have all parts.
  package let isPipelineFolder: Bool

  /// Opens and checks everything at a path.
  ///
  /// - Parameters:
  ///   - path: a file, an index or a folder.
  ///   - catalog: the families that it may be of.
  /// - Throws: `ModelFileError` for a malformed file that was named itself, or if a folder holds
  ///   nothing of a model.
  package init(path: String, in catalog: FamilyCatalog) throws(ModelFileError) {
    self.path = path
    self.catalog = catalog
    let cache = ArchiveCache(catalog, access: .mmap)
    let choice = cache.family(of: ModelPaths(model: path))
    let family = choice.family
    self.family = family
    let finder = try ModelFinder(path, for: family.slots, of: choice, cache)
    contents = finder.contents
    ambiguities = finder.ambiguities
    isPipelineFolder = finder.pipelineIndex != nil
    if finder.isFolder {
      layout = finder.pipelineIndex == nil ? "folder" : "diffusers folder"
      architecture = finder.pipelineIndex?.json["_class_name"]?.stringValue
      try Self.checkFolder(finder.path, family)
    } else {
      let archive = finder.contents[0].archive
      layout = archive.format.rawValue
      architecture = archive.gguf?.value(for: "general.architecture")?.textPrefix(256)
    }
    let tokenizers = try Self.tokenizers(of: family, finder, catalog)
    self.tokenizers = tokenizers
    // What holds no part is nobody's fault, unless it was named itself.
    faults =
      finder.faults
      + contents.filter { !finder.isFolder || !$0.places.isEmpty }.compactMap(\.fault)
    guard !contents.isEmpty || tokenizers.contains(where: { $0.path != nil }) else {
      throw faults.first ?? ModelFolder.noWeights(in: path)
    }
    parts = contents.flatMap { content in
      content.places.map { place in
        // Networks that families share are this one's.
        let own =
          family.slots.first { $0 == place.slot }
          ?? family.slots.first { $0.network(place.network.id) != nil }
        return FoundPart(
          part: own ?? place.slot, family: own == nil ? content.family ?? family : family,
          path: content.archive.path, scheme: place.table.scheme, prefix: place.prefix)
      }
    }
    var kind = contents.count == 1 ? contents[0].kind : nil
    // Files of several parts hold some that every family has.
    if !parts.isEmpty,
      parts.contains(where: { $0.part == $0.family.denoiser }) || kind?.isOtherFamily != true
    {
      kind = nil
    }
    isAdapter = kind?.isAdapter ?? false
    self.kind = kind.map { "\($0.description): \($0.advice)" }
    missing =
      family.slots.filter { finder.candidates[$0] == nil }.map(\.name)
      + tokenizers.filter { place, path in
        // A run finds it elsewhere.
        path == nil && TokenizerSearch(place, className: nil, catalog).outside() == nil
      }.map(\.place.name)
  }

  /// The tokenizers of a family that lie at the path of a finder.
  private static func tokenizers(
    of family: FamilyDescription, _ finder: ModelFinder, _ catalog: FamilyCatalog
  ) throws(ModelFileError) -> [(place: TokenizerPlace, path: String?)] {
    var found: [(place: TokenizerPlace, path: String?)] = []
    for place in family.tokenizers {
      let search = TokenizerSearch(place, className: nil, catalog)
      var source = try search.inArchives(finder.contents.map(\.archive))
      if source == nil { source = try search.around(finder.path) }
      found.append((place, source?.path))
    }
    return found
  }

  /// Parses the small files of a folder.
  private static func checkFolder(
    _ path: String, _ family: FamilyDescription
  ) throws(ModelFileError) {
    for name in ["config.json"] + family.slots.map({ "\($0.key)/config.json" }) {
      _ = try ConfigurationFile.ifPresent(ModelFolder.join(path, name))
    }
    _ = try ConfigurationFile.scheduler(
      ModelFolder.join(path, "scheduler/scheduler_config.json"))
  }
}
