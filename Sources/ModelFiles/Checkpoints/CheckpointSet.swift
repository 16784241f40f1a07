import Foundation
import StrictJSON

/// Files of a folder that make up one checkpoint: a single file, an index with its shards, or
/// numbered files without an index.
package struct CheckpointSet: Sendable {
  /// What to open: the file, the index, or the first of the numbered files that is there.
  package let path: String
  /// Names of the files that hold its tensors, those that are missing too.
  let fileNames: [String]
  /// Those of them that are not there.
  package let missing: [String]
  /// How tools call the weights, such as `model`.
  package let stem: String
  /// `fp16` and the like; empty for none.
  package let variant: String
  /// What is wrong with its index; nil for a sound or no index.
  let fault: ModelFileError?

  /// Whether all files are there.
  package var isComplete: Bool { missing.isEmpty && fault == nil }
  /// Whether the weights are called as diffusers and transformers call them.
  package var hasKnownName: Bool { CheckpointName.knownStems.contains(stem) }

  /// The error about an incomplete set.
  package var incompleteness: ModelFileError? {
    if let fault { return fault }
    guard let first = missing.first else { return nil }
    let others = missing.count > 1 ? " and \(missing.count - 1) more" : ""
    return ModelFileError(
      path: FileSystem.join(FileSystem.folder(of: path), first), kind: .notFound,
      fault:
        "No such file or directory: \(missing.count) of \(fileNames.count) files that belong to "
        + "'\(FileSystem.name(of: path))' are missing (this one\(others)): download \(missing.count == 1 ? "it" : "them") too"
    )
  }

  /// Every set of a folder, what is most likely meant first; complete ones before others.
  package static func all(in folder: String) -> [CheckpointSet] {
    let names = FileSystem.names(in: folder).filter {
      FileSystem.isFile(FileSystem.join(folder, $0))
    }
    let present = Set(names)
    let indices = names.compactMap { index($0, folder, among: present) }
    let taken = Set(indices.filter { $0.fault == nil }.filter(\.isComplete).flatMap(\.fileNames))
    var numbered: [String: [CheckpointName]] = [:]
    var sets: [CheckpointSet] = []
    for name in names.compactMap({ CheckpointName($0) }) where !taken.contains(name.text) {
      if name.part != nil {
        numbered[name.key, default: []].append(name)
      } else {
        sets.append(
          CheckpointSet(
            path: FileSystem.join(folder, name.text), fileNames: [name.text], missing: [],
            stem: name.stem, variant: name.variant, fault: nil))
      }
    }
    for parts in numbered.values { sets.append(set(of: parts, folder)) }
    // An incomplete index says more about its shards than their numbers do, unless those are whole.
    for index in indices where !index.isComplete {
      let its = Set(index.fileNames)
      sets.removeAll { !$0.isComplete && its.isSuperset(of: $0.fileNames.filter(present.contains)) }
    }
    return (indices + sets).sorted(by: precedes)
  }

  /// The set that a numbered file belongs to by its name.
  static func numbered(_ name: CheckpointName, in folder: String) -> CheckpointSet {
    let parts = FileSystem.names(in: folder).compactMap { CheckpointName($0) }.filter {
      $0.part != nil && $0.key == name.key
    }
    return set(of: parts.isEmpty ? [name] : parts, folder)
  }

  private static func set(of parts: [CheckpointName], _ folder: String) -> CheckpointSet {
    let numbers = parts.compactMap { $0.part?.number }
    let count = parts[0].part?.count ?? 1
    // Tools count from one; a number zero shows one that does not.
    let first = numbers.contains(0) ? 0 : 1
    let names = (first..<first + count).map { parts[0].sibling($0) }
    let present = Set(parts.map(\.text))
    return CheckpointSet(
      path: FileSystem.join(folder, names.first(where: present.contains) ?? parts[0].text),
      fileNames: names, missing: names.filter { !present.contains($0) }, stem: parts[0].stem,
      variant: parts[0].variant, fault: nil)
  }

  private static func index(
    _ name: String, _ folder: String, among names: Set<String>
  ) -> CheckpointSet? {
    guard let (stem, variant) = CheckpointName.index(name) else { return nil }
    let path = FileSystem.join(folder, name)
    do throws(ModelFileError) {
      let index = try SafetensorsIndex(MappedFile(path: path))
      return CheckpointSet(
        path: path, fileNames: index.shards, missing: index.shards.filter { !names.contains($0) },
        stem: stem, variant: variant, fault: nil)
    } catch {
      return CheckpointSet(
        path: path, fileNames: [], missing: [], stem: stem, variant: variant, fault: error)
    }
  }

  private static func precedes(_ left: CheckpointSet, _ right: CheckpointSet) -> Bool {
    func rank(_ set: CheckpointSet) -> (Int, (Int, Int, String), Int, String) {
      (
        set.isComplete ? 0 : 1, CheckpointName.rank(stem: set.stem, variant: set.variant),
        CheckpointName.index(FileSystem.name(of: set.path)) != nil ? 0 : 1, set.path
      )
    }
    let (left, right) = (rank(left), rank(right))
    if left.0 != right.0 { return left.0 < right.0 }
    if left.1 != right.1 { return left.1 < right.1 }
    return (left.2, left.3) < (right.2, right.3)
  }
}
