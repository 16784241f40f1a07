import ModelFiles

/// What says that parts of a model are not there: all of them at once, each with its flag and the
/// place where such a file is published.
enum MissingParts {
  /// A line about all missing parts and tokenizers.
  ///
  /// - Parameters:
  ///   - parts: what is missing.
  ///   - family: the family of the model.
  ///   - tokenizers: tokenizers that are missing too.
  ///   - finder: what was found at the model's path; nil if none was named.
  ///   - path: what to call the model.
  ///   - alternative: what else could be done, given the parts that are there; nil for nothing.
  /// - Returns: the error; about a broken file, if there is one, since it may be what is missing.
  static func error(
    _ parts: [Slot], of family: FamilyDescription, tokenizers: [TokenizerPlace],
    _ finder: ModelFinder?, path: String, alternative: ([Slot]) -> String? = { _ in nil }
  ) -> ModelFileError {
    if let finder, !finder.isFolder, let fault = finder.contents[0].fault { return fault }
    // Of a part's own folder nothing else can be meant.
    if let fault = finder?.partFaults.first(where: { parts.contains($0.part) }) {
      return fault.error
    }
    let there = family.slots.filter { finder?.candidates[$0] != nil }
    if let finder, !finder.isFolder, parts.contains(family.denoiser),
      let kind = finder.kind, kind.isOtherFamily
    {
      return ModelFileError(
        path: finder.contents[0].archive.path, kind: .unsupported,
        fault: "is \(kind.description): \(kind.advice)")
    }
    if let finder, there.isEmpty, finder.contents.count == 1, !finder.isFolder,
      let first = parts.first
    {
      return notFound(first, of: family, in: finder.contents[0])
    }
    var missing = parts.map { "\($0.name) (\($0.flag); \($0.published))" }
    missing += tokenizers.map { "\($0.name) (\($0.flag); \($0.published))" }
    let start =
      there.isEmpty || parts.isEmpty
      ? "" : "holds a \(there.map(\.name).joined(separator: " and a ")) only; "
    let hint = alternative(there).map { "; \($0)" } ?? ""
    let beside = finder.flatMap { neighbours(of: $0, parts) } ?? ""
    let hints = folderHints(finder, parts).map { "\($0); " }.joined()
    return ModelFileError(
      path: path, kind: .notFound,
      fault: "\(start)\(hints)missing: \(missing.joined(separator: ", "))\(beside)\(hint)"
        + broken(finder, parts))
  }

  /// What the names in a model's folder, and in those of its missing parts, tell about why.
  private static func folderHints(_ finder: ModelFinder?, _ parts: [Slot]) -> [String] {
    guard let finder, finder.isFolder, !parts.isEmpty else { return [] }
    let folders =
      [finder.path]
      + parts.map { ModelFolder.join(finder.path, $0.key) }.filter(ModelFolder.isFolder)
    var seen: Set<String> = []
    return folders.flatMap(ModelFolder.hints).filter { seen.insert($0).inserted }
  }

  /// Files that cannot be used, of which each may be what is missing.
  private static func broken(_ finder: ModelFinder?, _ parts: [Slot]) -> String {
    guard let faults = finder?.faults, let first = faults.first, !parts.isEmpty else { return "" }
    let others = faults.count > 1 ? " (and \(faults.count - 1) more)" : ""
    return "; a file there cannot be used and may be one of them\(others): \(first)"
  }

  /// Files beside a named one that hold what it lacks.
  private static func neighbours(of finder: ModelFinder, _ parts: [Slot]) -> String? {
    let cache = ArchiveCache(finder.catalog, access: .mmap)
    guard !finder.isFolder,
      let folder = try? ModelFinder(
        FileSystem.folder(of: finder.path), for: parts, of: finder.family, cache)
    else { return nil }
    let found = parts.compactMap { part in
      folder.candidates[part]?.first.map {
        "\(part.flag) \(FileSystem.name(of: $0.archive.path))"
      }
    }
    return found.isEmpty
      ? nil
      : "; beside it lies what \(found.joined(separator: " ")) would take, or name the folder"
  }

  /// The error about a file that was named for a part and does not hold it.
  static func notFound(
    _ part: Slot, of family: FamilyDescription, in contents: ArchiveContents
  ) -> ModelFileError {
    let archive = contents.archive
    if contents.places.isEmpty {
      if let fault = contents.fault { return fault }
      if let kind = contents.kind {
        return ModelFileError(
          path: archive.path, kind: .unsupported,
          fault: "is \(kind.description)"
            + (kind.isRelative
              ? "" : ", where a \(part.name) of \(family.modelPhrase) is expected")
            + ": \(kind.advice)")
      }
    }
    let there = contents.places.map(\.slot.name)
    let found = there.isEmpty ? "" : "holds a \(there.joined(separator: " and a ")), but "
    let architecture = archive.gguf?.value(for: "general.architecture")?.textPrefix(40)
    return ModelFileError(
      path: archive.path, kind: .unsupported,
      fault: (found.isEmpty ? "holds " : found) + "no \(part.name) of \(family.modelPhrase)"
        + (architecture.map { " (its architecture is '\($0)')" } ?? "")
        + ": expected tensors such as '\(part.example)'; name another file with \(part.flag) ("
        + "\(part.published))")
  }
}
