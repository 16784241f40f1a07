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
  /// Why the file cannot be run as it is, whatever flags are given.
  package let fault: ModelFileError?

  /// Looks at every name.
  init(_ archive: TensorArchive) {
    self.archive = archive
    let places = ComponentLocator.locate(in: archive.tensors).filter { place in
      place.part != .transformer || Self.isOurs(place, in: archive)
    }
    self.places = places
    var parts = [ModelPart?](repeating: nil, count: archive.tensors.records.count)
    var textEncoderPrefix = ""
    for place in places {
      for index in TensorNames(archive, at: place).claimed { parts[index] = place.part }
      if place.part == .textEncoder { textEncoderPrefix = place.prefix }
    }
    self.parts = parts
    let companions = WeightCompanions(archive, claimed: parts.map { $0 != nil })
    self.companions = companions
    foreign = archive.tensors.records.indices.filter { index in
      parts[index] == nil && !companions.explained.contains(index)
        && !ForeignTensors.isHarmless(
          archive.tensors.records[index].name, textEncoderPrefix: textEncoderPrefix)
    }
    if let (library, tensor) = ForeignQuantization.find(in: archive) {
      fault = ForeignQuantization.error(archive.path, library, "tensor '\(tensor)'")
    } else {
      fault = companions.fault
    }
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
