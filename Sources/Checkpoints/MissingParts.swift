import ModelFiles

/// What says that parts of a model are not there: all of them at once, each with its flag and the
/// place where such a file is published.
enum MissingParts {
  /// A line about all missing parts and tokenizers.
  ///
  /// - Parameters:
  ///   - parts: what is missing.
  ///   - choice: the family of the model, as far as it is known.
  ///   - tokenizers: tokenizers that are missing too.
  ///   - finder: what was found at the model's path; nil if none was named.
  ///   - path: what to call the model.
  ///   - alternative: what else could be done, given the parts that are there; nil for nothing.
  /// - Returns: the error; about a broken file, if there is one, since it may be what is missing.
  static func error(
    _ parts: [Slot], of choice: FamilyChoice, tokenizers: [TokenizerPlace],
    _ finder: ModelFinder?, path: String, alternative: ([Slot]) -> String? = { _ in nil }
  ) -> ModelFileError {
    if let finder, !finder.isFolder, let fault = finder.contents[0].fault { return fault }
    // Of a part's own folder nothing else can be meant.
    if let fault = finder?.partFaults.first(where: { parts.contains($0.part) }) {
      return fault.error
    }
    let family = choice.family
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
      return notFound(first, of: choice, in: finder.contents[0])
    }
    let missing = missing(parts, of: choice, tokenizers)
    let start =
      there.isEmpty || parts.isEmpty
      ? "" : "holds a \(there.map(\.name).joined(separator: " and a ")) only; "
    let hint = alternative(there).map { "; \($0)" } ?? ""
    let beside = finder.flatMap { neighbours(of: $0, parts) } ?? ""
    let hints = folderHints(finder, parts).map { "\($0); " }.joined()
    return ModelFileError(
      path: path, kind: .notFound,
      fault: "\(start)\(hints)missing: \(missing)\(beside)\(hint)"
        + broken(finder, parts))
  }

  /// A list of what is missing. Where nothing tells the family, the denoisers of all that it may
  /// be: which of them is chosen says what else is needed.
  private static func missing(
    _ parts: [Slot], of choice: FamilyChoice, _ tokenizers: [TokenizerPlace]
  ) -> String {
    guard !choice.isTold, parts.contains(choice.family.denoiser) else {
      let items =
        parts.map { "\($0.name) (\($0.flag); \($0.published))" }
        + tokenizers.map { "\($0.name) (\($0.flag); \($0.published))" }
      return items.joined(separator: ", ")
    }
    return choice.candidates.map { family in
      let denoiser = family.denoiser
      return
        "the \(denoiser.name) of \(family.modelPhrase) (\(denoiser.flag); \(denoiser.published))"
    }.joined(separator: " or ") + ", and what belongs to it"
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

  /// Files beside a named one that hold what it lacks; where nothing tells the family, the denoiser
  /// of one that it may be.
  private static func neighbours(of finder: ModelFinder, _ parts: [Slot]) -> String? {
    guard !finder.isFolder else { return nil }
    let cache = ArchiveCache(finder.catalog, access: .mmap)
    let folder = FileSystem.folder(of: finder.path)
    let hints = finder.choice.candidates.lazy.map { family -> [String] in
      let wanted = finder.choice.isTold ? parts : [family.denoiser]
      guard let beside = try? ModelFinder(folder, for: wanted, of: FamilyChoice(family), cache)
      else { return [] }
      return wanted.compactMap { part in
        // What cannot be run is no help.
        beside.candidates[part]?.first { $0.fault(of: part) == nil }.map {
          "\(part.flag) \($0.archive.path)"
        }
      }
    }
    guard let found = hints.first(where: { !$0.isEmpty }) else { return nil }
    return
      "; beside it lies what \(found.joined(separator: " ")) would take, or name the folder"
  }

  /// The error about a file that was named for a part and does not hold it.
  static func notFound(
    _ part: Slot, of choice: FamilyChoice, in contents: ArchiveContents
  ) -> ModelFileError {
    let archive = contents.archive
    if contents.places.isEmpty {
      if let fault = contents.fault { return fault }
      if let kind = contents.kind {
        return ModelFileError(
          path: archive.path, kind: .unsupported,
          fault: "is \(kind.description)"
            + (kind.isRelative
              ? "" : ", where a \(part.name) of \(choice.modelPhrase) is expected")
            + ": \(kind.advice)")
      }
    }
    let there = contents.places.map(\.slot.name)
    let found = there.isEmpty ? "" : "holds a \(there.joined(separator: " and a ")), but "
    let architecture = archive.gguf?.value(for: "general.architecture")?.textPrefix(40)
    return ModelFileError(
      path: archive.path, kind: .unsupported,
      fault: (found.isEmpty ? "holds " : found) + "no \(part.name) of \(choice.modelPhrase)"
        + (architecture.map { " (its architecture is '\($0)')" } ?? "")
        + ": expected tensors such as \(examples(of: part, choice))")
  }

  /// Names that a part's tensors have, and where it is published: of each family that it may be.
  private static func examples(of part: Slot, _ choice: FamilyChoice) -> String {
    let places =
      part == choice.family.denoiser ? choice.candidates.map(\.denoiser) : [part]
    let names = places.map { "'\($0.example)'" }.joined(separator: " or ")
    let published = places.map(\.published).joined(separator: "; ")
    return "\(names); name another file with \(part.flag) (\(published))"
  }
}
