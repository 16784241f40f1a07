import ModelFiles

/// An opened archive, and what each tensor in it is.
package struct ArchiveContents: Sendable {
  package let archive: TensorArchive
  /// The parts that lie in it, in the order of the family's slots.
  let places: [PartLocation]
  /// The family that the parts are of, as far as they show it; nil if there are none.
  let family: FamilyDescription?
  /// For each tensor the part that has it.
  package var parts: [Slot?] { owners.map { $0.map { places[$0].slot } } }
  /// Whether it has the tensors of a family's denoiser and is not one of its models.
  let isRelative: Bool
  /// What belongs to weights without being one.
  let companions: WeightCompanions
  /// Tensors of no use, as indices.
  package let foreign: [Int]
  /// Why parts, by their index, cannot be run as they are, whatever flags are given; under nil the
  /// whole file.
  private let faults: [Int?: ModelFileError]
  /// For each tensor the index of the part that has it.
  private let owners: [Int?]
  private let catalog: FamilyCatalog

  /// Looks at every name.
  init(_ archive: TensorArchive, _ catalog: FamilyCatalog) {
    self.archive = archive
    self.catalog = catalog
    let found = NetworkLocator.locate(in: archive.tensors, catalog)
    let (family, places) = catalog.parts(
      among: found, isMarked: { Self.isMarked($0, in: archive, catalog) },
      where: { Self.isOurs($0, in: archive, catalog) })
    (self.family, self.places) = (family, places)
    var owners = [Int?](repeating: nil, count: archive.tensors.records.count)
    for (part, place) in places.enumerated() {
      for index in TensorNames(archive, at: place, catalog.matcher).claimed { owners[index] = part }
    }
    self.owners = owners
    let prefixes = places.map(\.prefix)
    func isHarmless(_ index: Int) -> Bool {
      ForeignTensors.isHarmless(archive.tensors.records[index].name, prefixes: prefixes)
    }
    let companions = WeightCompanions(archive, places, owners: owners)
    self.companions = companions
    foreign = archive.tensors.records.indices.filter { index in
      owners[index] == nil && !companions.explained.contains(index)
        && !companions.refused.contains(index) && !isHarmless(index)
    }
    var faults = companions.faults
    let relative = Self.relative(places, of: family, in: archive, catalog)
    isRelative = relative != nil
    if let (part, kind) = relative {
      faults[part] = ModelFileError(
        path: archive.path, kind: .unsupported,
        fault: "is \(kind.description): \(catalog.advice(about: kind))")
    }
    let others = OtherForms.faults(among: foreign, of: archive, places, catalog)
    let unknown = UsedLayers(archive, places, owners).faults(among: foreign)
    for (index, part, fault) in others.map({ ($0.index, Optional($0.part), $0.fault) }) + unknown {
      if faults[part] == nil {
        let record = archive.tensors.records[index]
        faults[part] = ModelFileError(
          path: archive.path, kind: .malformed,
          fault: "tensor '\(record.name)' of shape \(record.shape) is unexpected: \(fault)")
      }
    }
    let signs = ForeignQuantization.find(in: archive) { owners[$0] != nil || !isHarmless($0) }
    for (name, library) in signs {
      // The part with whose prefix a tensor begins; without prefixes the only one.
      let part = places.firstIndex {
        !$0.prefix.isEmpty && name.utf8.starts(with: $0.prefix.utf8)
      }
      faults[part ?? (places.count == 1 ? 0 : nil)] = ForeignQuantization.error(
        archive.path, library, "tensor '\(name)'")
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

  /// What the archive is, judged by names that parts of models do not have; nil if nothing shows
  /// it.
  var kind: ModelKind? { ModelKind(archive, catalog) }

  /// Why a part cannot be run as it is.
  func fault(of slot: Slot) -> ModelFileError? {
    index(of: slot).flatMap { faults[$0] } ?? faults[nil]
  }

  /// Why the file, or something in it, cannot be run as it is.
  package var fault: ModelFileError? {
    faults[nil] ?? places.indices.lazy.compactMap { faults[$0] }.first
  }

  /// The denoiser, by its index, of what has a family's tensors and is not one of its models.
  private static func relative(
    _ places: [PartLocation], of family: FamilyDescription?, in archive: TensorArchive,
    _ catalog: FamilyCatalog
  ) -> (part: Int, kind: RelatedKind)? {
    guard let family, let part = places.firstIndex(where: { $0.slot == family.denoiser }),
      let kind = catalog.relative(in: archive, at: places[part], of: family)
    else { return nil }
    return (part, kind)
  }

  /// Whether a denoiser is of the kind that its names say: some names of attention are those of
  /// other families too.
  private static func isOurs(
    _ place: PartLocation, in archive: TensorArchive, _ catalog: FamilyCatalog
  ) -> Bool {
    place.network.distinguishing.isEmpty || isMarked(place, in: archive, catalog)
      || ModelKind(archive, catalog) == nil
  }

  /// Whether a network has a tensor there that networks with similar names do not have.
  private static func isMarked(
    _ place: PartLocation, in archive: TensorArchive, _ catalog: FamilyCatalog
  ) -> Bool {
    guard !place.network.distinguishing.isEmpty else { return false }
    let names = TensorNames(archive, at: place, catalog.matcher)
    return place.network.distinguishing.contains { names.entries[$0] != nil }
  }

  /// Where the network of a slot lies in it; nil if it does not. The slot may be another family's.
  func place(of slot: Slot) -> PartLocation? {
    guard let place = index(of: slot).map({ places[$0] }) else { return nil }
    // Kin is opened as what is wanted, which says what is wrong with it.
    let wanted = slot.networks.first { $0.kin == place.network.kin }
    return slot.network(place.network.id) == nil
      ? wanted.map { place.placed(slot, as: $0) } : place
  }

  /// Whether a network of a slot lies in it that is not only kin of it.
  func isSure(of slot: Slot) -> Bool {
    places.contains { slot.network($0.network.id) != nil }
  }

  private func index(of slot: Slot) -> Int? {
    let hasSiblings = !catalog.siblings(of: slot).isEmpty
    return slot.networks.lazy.compactMap { network in
      let same = places.indices.filter { places[$0].network.id == network.id }
      let found =
        same.isEmpty ? places.indices.filter { places[$0].network.kin == network.kin } : same
      guard hasSiblings else { return found.first }
      // A network by itself may be meant for any of its places.
      return found.first { places[$0].slot == slot } ?? (places.count == 1 ? found.first : nil)
    }.first
  }
}
