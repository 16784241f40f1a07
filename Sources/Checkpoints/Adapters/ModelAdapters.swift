import ModelFiles

/// The adapters of a model: which module is for which weight of which part.
package struct ModelAdapters: Sendable {
  /// The files that were opened.
  package var files: [String] { opened.map(\.path) }
  private let opened: [AdapterFile]
  private let family: FamilyDescription
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
    var opened: [AdapterFile] = []
    for path in paths {
      let file = try AdapterFile(path, access: access)
      opened.append(file)
      var fits = false
      for module in file.modules {
        let found = parts.indices.lazy.compactMap { index in
          names[index].target(of: module.name).map { (index, $0) }
        }.first
        guard let (index, target) = found else { continue }
        fits = true
        terms[index].append(
          AdapterTerm(
            file: file, module: module, target: target, part: parts[index].slot.name))
      }
      guard fits else { throw Self.stranger(file, family) }
    }
    self.opened = opened
    self.family = family
    self.parts = zip(parts, terms).map { part, terms in
      PartAdapters(part.slot, terms)
    }
  }

  /// The adapters of a part.
  func part(_ slot: Slot) -> PartAdapters? { parts.first { $0.slot == slot } }

  /// The error about a file that has nothing for the model.
  private static func stranger(_ file: AdapterFile, _ family: FamilyDescription) -> ModelFileError {
    let records = file.archive.tensors.records
    guard let first = records.first else {
      return ModelFileError(path: file.path, kind: .malformed, fault: "holds no tensors")
    }
    return ModelFileError(
      path: file.path, kind: .unsupported,
      fault: "none of its \(records.count) tensors is for a part of \(family.modelPhrase) that "
        + "is used here (the first is '\(first.name)'): take an adapter made for this "
        + "model")
  }

  /// A line for each file with tensors that have no effect, with names and numbers. To be asked for
  /// when the networks are opened, which is when tensors are applied.
  package var notes: [String] {
    opened.compactMap { file in
      let (records, unused) = (file.archive.tensors.records, file.unusedTensors)
      guard !unused.isEmpty else { return nil }
      let shown = unused.prefix(3).map { "'\(records[$0].name)'" }.joined(separator: ", ")
      let more = unused.count > 3 ? " and \(unused.count - 3) more" : ""
      return "\(file.path): \(unused.count) of \(records.count) tensors match nothing in the "
        + "parts that are used and have no effect: \(shown)\(more)"
    }
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
