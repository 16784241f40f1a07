import ModelFiles

/// An opened archive, and what each tensor in it is.
package struct ArchiveContents: Sendable {
  package let archive: TensorArchive
  /// The parts that lie in it, in the order of `ModelPart`.
  let places: [PartLocation]
  /// For each tensor the part that has it.
  package let parts: [ModelPart?]
  /// What belongs to weights without being one.
  let companions: WeightCompanions
  /// Tensors of no use, as indices.
  package let foreign: [Int]
  /// Why parts cannot be run as they are, whatever flags are given; under nil the whole file.
  private let faults: [ModelPart?: ModelFileError]

  /// Looks at every name.
  init(_ archive: TensorArchive) {
    self.archive = archive
    let places = ComponentLocator.locate(in: archive.tensors).filter { place in
      place.part != .transformer || Self.isOurs(place, in: archive)
    }
    self.places = places
    var parts = [ModelPart?](repeating: nil, count: archive.tensors.records.count)
    for place in places {
      for index in TensorNames(archive, at: place).claimed { parts[index] = place.part }
    }
    self.parts = parts
    let prefixes = places.map(\.prefix)
    func isHarmless(_ index: Int) -> Bool {
      ForeignTensors.isHarmless(archive.tensors.records[index].name, prefixes: prefixes)
    }
    let companions = WeightCompanions(archive, parts: parts)
    self.companions = companions
    foreign = archive.tensors.records.indices.filter { index in
      parts[index] == nil && !companions.explained.contains(index)
        && !companions.refused.contains(index) && !isHarmless(index)
    }
    var faults = companions.faults
    for (index, part, fault) in UsedLayers(archive, places, parts).faults(among: foreign) {
      if faults[part] == nil {
        let record = archive.tensors.records[index]
        faults[part] = ModelFileError(
          path: archive.path, kind: .malformed,
          fault: "tensor '\(record.name)' of shape \(record.shape) is unexpected: \(fault)")
      }
    }
    let signs = ForeignQuantization.find(in: archive) { parts[$0] != nil || !isHarmless($0) }
    for (name, library) in signs {
      // The part with whose prefix a tensor begins; without prefixes the only one.
      let place = places.first { !$0.prefix.isEmpty && name.utf8.starts(with: $0.prefix.utf8) }
      let part = place?.part ?? (places.count == 1 ? places[0].part : nil)
      faults[part] = ForeignQuantization.error(archive.path, library, "tensor '\(name)'")
    }
    self.faults = faults
  }

  /// What is strange about weights without being a fault: lines about the first of them.
  package var notes: [String] {
    guard let first = companions.unscaled.first else { return [] }
    let count = companions.unscaled.count
    let others = count > 1 ? " (and \(count - 1) more)" : ""
    return [
      "\(archive.path): tensor '\(archive.tensors.records[first].name)'\(others) is fp8 without a scale, "
        + "though others have one: it is taken as it is"
    ]
  }

  /// Why a part cannot be run as it is.
  func fault(of part: ModelPart) -> ModelFileError? { faults[part] ?? faults[nil] }

  /// Why the file, or something in it, cannot be run as it is.
  package var fault: ModelFileError? {
    faults[nil] ?? ModelPart.allCases.lazy.compactMap { faults[$0] }.first
  }

  /// Whether a transformer is of the kind that is run here: some names of attention are those of other
  /// families too.
  private static func isOurs(_ place: PartLocation, in archive: TensorArchive) -> Bool {
    let names = TensorNames(archive, at: place)
    return AuraFlowNames.distinguishing.contains { names.entries[$0] != nil }
      || ModelKind(archive) == nil
  }

  /// Where a part lies in it; nil if it does not.
  func place(of part: ModelPart) -> PartLocation? { places.first { $0.part == part } }
}
