/// What an adapter is for, judged by its names alone.
struct AdapterSummary {
  /// The family most of whose modules it has; nil if it has none of any.
  let family: FamilyDescription?
  /// How many modules of which parts, in words.
  let parts: String
  /// Whether it is of a kind that is applied.
  let isApplied: Bool

  /// Numbers beyond this are no layers.
  private static let maximumLayers = 200

  /// - Parameters:
  ///   - names: of an adapter's tensors.
  ///   - catalog: the families that it may be for.
  init(_ names: [String], _ catalog: FamilyCatalog) {
    var modules: Set<String> = []
    var isApplied = true
    for name in names {
      guard let key = AdapterKey(name) else { continue }
      modules.insert(key.base)
      if key.role.isRefused { isApplied = false }
    }
    self.isApplied = isApplied
    let layers = Self.layers(in: modules)
    var best: (family: FamilyDescription, counts: [(slot: Slot, count: Int)], sum: Int)?
    for family in catalog.families {
      let counts = Self.counts(of: modules, in: family, layers: layers)
      let sum = counts.reduce(0) { $0 + $1.count }
      if sum > best?.sum ?? 0 { best = (family, counts, sum) }
    }
    family = best?.family
    let rest = modules.count - (best?.sum ?? 0)
    parts =
      (best?.counts ?? []).filter { $0.count > 0 }.map { slot, count in
        "\(count) module\(count == 1 ? "" : "s") of the \(slot.name)"
      }.joined(separator: " and ") + (rest > 0 ? "; \(rest) match nothing" : "")
  }

  /// How many modules each place of a family has.
  private static func counts(
    of modules: Set<String>, in family: FamilyDescription, layers: Int
  ) -> [(slot: Slot, count: Int)] {
    let places = family.slots.flatMap { slot in
      slot.networks.prefix(1).map { network in
        (
          slot,
          AdapterNames(
            slot, network, layers: layers, isDenoiser: slot == family.denoiser)
        )
      }
    }
    var counts = places.map { (slot: $0.0, count: 0) }
    for module in modules {
      if let place = places.firstIndex(where: { $0.1.target(of: module) != nil }) {
        counts[place].count += 1
      }
    }
    return counts
  }

  /// One more than the highest number in some names.
  private static func layers(in names: Set<String>) -> Int {
    var highest = 0
    for name in names {
      for part in name.split(whereSeparator: { !$0.isASCII || !$0.isNumber }) {
        if let number = Int(part), number < maximumLayers { highest = max(highest, number) }
      }
    }
    return highest + 1
  }
}
