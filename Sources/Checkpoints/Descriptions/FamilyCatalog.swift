/// The families of models that are known, and the names of all their networks.
package struct FamilyCatalog: Sendable {
  package let families: [FamilyDescription]
  /// Every network once, in the order of families and slots.
  let networks: [NetworkDescription]
  /// Recognizes the tensors of all networks at once.
  let matcher: NameMatcher

  /// A list of one family at least; the first is what messages are about where nothing tells the
  /// family.
  package init(_ first: FamilyDescription, _ others: [FamilyDescription] = []) {
    families = [first] + others
    fallback = first
    var networks: [NetworkDescription] = []
    for network in families.flatMap(\.slots).flatMap(\.networks)
    where !networks.contains(where: { $0.id == network.id }) {
      networks.append(network)
    }
    self.networks = networks
    matcher = NameMatcher(
      networks.enumerated().flatMap { index, network in
        network.tables.map { NameMatcher.Scheme(network: index, table: $0) }
      })
  }

  /// What messages are about where nothing tells the family.
  let fallback: FamilyDescription

  // MARK: All families together

  /// Every place once.
  package var slots: [Slot] {
    var seen: Set<Slot> = []
    return families.flatMap(\.slots).filter { seen.insert($0).inserted }
  }

  /// Command line options of all places, each once.
  package var options: [String] {
    var seen: Set<String> = []
    return families.flatMap(\.slots).map(\.option).filter { seen.insert($0).inserted }
  }

  /// A model of any family, with article.
  package var modelPhrase: String { families.map(\.modelPhrase).joined(separator: " or ") }

  /// Presets of all families.
  package var presets: [(family: FamilyDescription, preset: ModelPreset)] {
    families.flatMap { family in family.presets.map { (family, $0) } }
  }

  /// Names of tokenizers' folders, each once.
  package var tokenizerFolders: [String] {
    var seen: Set<String> = []
    return families.flatMap(\.tokenizers).map(\.key).filter { seen.insert($0).inserted }
  }

  /// Whether a stored name is that of a token embedding of some network.
  package func isTokenTable(_ name: String) -> Bool {
    networks.contains { $0.isTokenTable(name) }
  }

  func isDenoiser(_ network: NetworkDescription) -> Bool {
    families.contains { $0.denoiser.network(network.id) != nil }
  }
}

extension FamilyCatalog {
  /// The places that a network can take, in the order of families.
  func slots(for network: NetworkDescription) -> [Slot] {
    families.flatMap(\.slots).filter { $0.network(network.id) != nil }
  }

  /// Other places of the same family whose networks have names in common with a place's.
  func siblings(of slot: Slot) -> [Slot] {
    families.filter { $0.slots.contains(slot) }.flatMap { $0.siblings(of: slot) }
  }

  /// Prefixes that tell the places of a network apart where it takes several in one family, each
  /// once; none where it does not.
  func sharedPrefixes(of network: NetworkDescription) -> [String] {
    var seen: Set<String> = []
    return families.map { $0.slots.filter { $0.network(network.id) != nil } }
      .filter { $0.count > 1 }.flatMap { $0 }.flatMap(\.prefixes)
      .filter { seen.insert($0).inserted }
  }

  /// Says which family an archive shows and which of the networks found in it are parts.
  ///
  /// The family is the one whose denoiser was found; where there is none, the one of which most
  /// places are filled.
  ///
  /// - Parameters:
  ///   - found: networks by their names; several may have been found in the same ones.
  ///   - isMarked: whether a tensor is there that only this network has.
  ///   - isOurs: whether a denoiser is what its names say.
  /// - Returns: the family, and the parts in its order, those of other families last.
  func parts(
    among found: [PartLocation], isMarked: (PartLocation) -> Bool,
    where isOurs: (PartLocation) -> Bool
  ) -> (family: FamilyDescription?, parts: [PartLocation]) {
    // Denoisers of several families have names in common.
    let denoiser = found.filter { isDenoiser($0.network) && isOurs($0) }
      .reduce(PartLocation?.none) { best, next in
        (best?.count ?? 0) >= next.count ? best : next
      }
    var usable = found.filter { !isDenoiser($0.network) || $0.network.id == denoiser?.network.id }
    // With a denoiser its family decides between kin.
    if denoiser == nil { usable = Self.told(apart: usable, isMarked) }
    let filled = families.map { $0.filled(by: usable) }
    let best = families.indices.max { left, right in
      func rank(_ family: Int) -> (Int, Int, Int) {
        let hasDenoiser = filled[family].contains { $0.slot == families[family].denoiser }
        return (hasDenoiser ? 1 : 0, filled[family].count, -family)
      }
      return rank(left) < rank(right)
    }
    guard let best, !filled[best].isEmpty else { return (nil, []) }
    var parts = filled[best]
    for other in filled.flatMap({ $0 })
    where !parts.contains(where: {
      $0.network.id == other.network.id || $0.isKin(of: other)
    }) {
      parts.append(other)
    }
    return (families[best], parts)
  }

  /// Leaves out what kin of it is told by a tensor that only the kin has, or what lacks its own.
  private static func told(
    apart found: [PartLocation], _ isMarked: (PartLocation) -> Bool
  ) -> [PartLocation] {
    found.filter { location in
      let kin = found.filter { $0.network.id != location.network.id && $0.isKin(of: location) }
      guard !kin.isEmpty, !isMarked(location) else { return true }
      return location.network.distinguishing.isEmpty && !kin.contains(where: isMarked)
    }
  }
}
