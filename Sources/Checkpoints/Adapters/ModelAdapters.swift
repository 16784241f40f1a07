import ModelFiles

/// The adapters of a model: which module is for which weight of which part.
package struct ModelAdapters: Sendable {
  /// What is to be told of them: lines.
  package let notes: [String]
  /// The files that were opened.
  package let files: [String]
  private let parts: [PartAdapters]

  /// Opens adapters and finds the weights that their modules are for.
  ///
  /// - Parameters:
  ///   - paths: the files, in order.
  ///   - access: how their bytes are accessed.
  ///   - parts: the model's.
  ///   - family: of the model.
  /// - Throws: `ModelFileError` for a file that is no adapter, is of a kind that is not applied, or
  ///   fits no part.
  init(
    _ paths: [AdapterPath], access: FileAccess, to parts: [PartSource], of family: FamilyDescription
  ) throws(ModelFileError) {
    let names = parts.map { part in
      AdapterNames(part.weights, isDenoiser: part.slot == family.denoiser)
    }
    var terms = [[AdapterTerm]](repeating: [], count: parts.count)
    var (notes, files): ([String], [String]) = ([], [])
    for path in paths {
      let file = try AdapterFile(path, access: access)
      files.append(file.path)
      var unknown = file.strangers
      for module in file.modules {
        let found = parts.indices.lazy.compactMap { index in
          names[index].target(of: module.name).map { (index, $0) }
        }.first
        guard let (index, target) = found else {
          unknown += module.entries.values
          continue
        }
        if target.bias == nil {
          // A layer without a bias has nothing to add one to.
          unknown += [.biasDifference, .upBias].compactMap { module.entries[$0] }
        }
        terms[index].append(
          AdapterTerm(
            file: file, module: module, target: target, part: parts[index].slot.name))
      }
      if let note = try Self.note(on: unknown.sorted(), of: file, family) { notes.append(note) }
    }
    self.notes = notes
    self.files = files
    self.parts = zip(parts, terms).map { part, terms in
      PartAdapters(part.slot, terms)
    }
  }

  /// The adapters of a part.
  func part(_ slot: Slot) -> PartAdapters? { parts.first { $0.slot == slot } }

  /// A line about tensors that match nothing; nil if there are none.
  private static func note(
    on unknown: [Int], of file: AdapterFile, _ family: FamilyDescription
  ) throws(ModelFileError) -> String? {
    let records = file.archive.tensors.records
    guard let first = unknown.first else { return nil }
    guard unknown.count < records.count else {
      throw ModelFileError(
        path: file.path, kind: .unsupported,
        fault: "none of its \(records.count) tensors is for a part of \(family.modelPhrase) that "
          + "is used here (the first is '\(records[first].name)'): take an adapter made for this "
          + "model")
    }
    let shown = unknown.prefix(3).map { "'\(records[$0].name)'" }.joined(separator: ", ")
    let more = unknown.count > 3 ? " and \(unknown.count - 3) more" : ""
    return "\(file.path): \(unknown.count) of \(records.count) tensors match nothing in the "
      + "parts that are used and have no effect: \(shown)\(more)"
  }
}

/// The adapters of one part of a model, by our names.
final class PartAdapters: Sendable {
  let slot: Slot
  let weights: [String: [AdapterTerm]]
  let biases: [String: [AdapterTerm]]

  init(_ slot: Slot, _ terms: [AdapterTerm]) {
    self.slot = slot
    weights = Dictionary(grouping: terms, by: \.target.name)
    biases = Dictionary(grouping: terms.filter { $0.target.bias != nil }) { $0.target.bias ?? "" }
  }
}
