import ModelFiles

/// Where one network lies inside an archive: under which prefix, in which naming.
struct PartLocation: Sendable {
  /// The network's place in the family that the archive shows.
  let slot: Slot
  let network: NetworkDescription
  /// Index in the schemes of the catalogue's matcher.
  let scheme: Int
  let table: NameTable
  /// Leading name components, with a trailing dot unless empty.
  let prefix: String
  /// Tensors that carry the prefix and a name of the scheme.
  let count: Int

  /// Whether another network was found in the same tensors.
  func isKin(of other: PartLocation) -> Bool {
    network.kin == other.network.kin && prefix == other.prefix
  }

  /// The same in a place that describes the network as its own.
  func placed(_ slot: Slot, as network: NetworkDescription) -> PartLocation {
    PartLocation(
      slot: slot, network: network, scheme: scheme, table: table, prefix: prefix, count: count)
  }
}

/// Finds networks in a list of tensor names, whatever prefixes a tool gave them.
enum NetworkLocator {
  /// Fewer recognized tensors than this are chance.
  private static let fewest = 6

  /// For each network that is there, the naming and prefix under which most of its tensors are
  /// recognized; in the order of the catalogue. Of a network that takes several places in one
  /// family also those under the prefixes of these places.
  ///
  /// - Parameters:
  ///   - tensors: the archive's names.
  ///   - catalog: all networks. Several of them may be found in the same names.
  /// - Returns: where each was found; its slot is the first that takes it.
  static func locate(in tensors: TensorTable, _ catalog: FamilyCatalog) -> [PartLocation] {
    let matcher = catalog.matcher
    var votes = [[NamePrefix: Int]](repeating: [:], count: matcher.schemes.count)
    var seen: [(scheme: Int, prefixLength: Int)] = []
    let prefixes = matcher.schemes.map { catalog.networks[$0.network].prefixes }
    for record in tensors.records {
      // Each name votes once per prefix, even where two rules match it.
      seen.removeAll(keepingCapacity: true)
      matcher.forEachMatch(of: record.name) { match in
        guard !seen.contains(where: { $0 == (match.scheme, match.prefixLength) }) else { return }
        seen.append((match.scheme, match.prefixLength))
        let prefix = NamePrefix(name: record.name, length: match.prefixLength)
        guard prefixes[match.scheme].map(prefix.isOne(of:)) ?? true else { return }
        votes[match.scheme][prefix, default: 0] += 1
      }
    }
    return catalog.networks.indices.flatMap { network -> [PartLocation] in
      guard let first = winner(for: network, votes, catalog) else { return [] }
      let others = catalog.sharedPrefixes(of: catalog.networks[network])
        .filter { $0 != first.prefix }
      return [first] + others.compactMap { winner(for: network, votes, catalog, under: $0) }
    }
  }

  /// The best naming and prefix of a network; with `prefix` only that one counts.
  private static func winner(
    for network: Int, _ votes: [[NamePrefix: Int]], _ catalog: FamilyCatalog,
    under prefix: String? = nil
  ) -> PartLocation? {
    let only = prefix
    var winner: (scheme: Int, prefix: NamePrefix, count: Int)?
    for (index, scheme) in catalog.matcher.schemes.enumerated() where scheme.network == network {
      for (prefix, count) in votes[index] where count >= fewest {
        if let only, !prefix.isOne(of: [only]) { continue }
        if let best = winner, !isBetter((prefix, count), than: (best.prefix, best.count)) {
          continue
        }
        winner = (index, prefix, count)
      }
    }
    let description = catalog.networks[network]
    guard let winner,
      let slot = catalog.slots(for: description).first
    else { return nil }
    return PartLocation(
      slot: slot, network: description, scheme: winner.scheme,
      table: catalog.matcher.schemes[winner.scheme].table, prefix: winner.prefix.text,
      count: winner.count)
  }

  private static func isBetter(
    _ left: (prefix: NamePrefix, count: Int), than right: (prefix: NamePrefix, count: Int)
  ) -> Bool {
    if left.count != right.count { return left.count > right.count }
    if left.prefix.length != right.prefix.length { return left.prefix.length < right.prefix.length }
    return left.prefix.text < right.prefix.text
  }
}

/// The beginning of a name, compared byte by byte, without a copy of it.
private struct NamePrefix: Hashable {
  let name: String
  let length: Int

  /// The prefix by itself; cut at a dot, so it is whole characters.
  var text: String { String(decoding: name.utf8.prefix(length), as: UTF8.self) }

  /// Whether the prefix is one of some.
  func isOne(of prefixes: [String]) -> Bool {
    prefixes.contains { $0.utf8.count == length && $0 == text }
  }

  static func == (left: NamePrefix, right: NamePrefix) -> Bool {
    left.length == right.length
      && left.name.utf8.prefix(left.length).elementsEqual(right.name.utf8.prefix(right.length))
  }

  func hash(into hasher: inout Hasher) {
    var name = name
    name.withUTF8 {
      hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer($0)[..<length]))
    }
  }
}
