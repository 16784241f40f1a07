import ModelFiles

/// Which tensor of an archive is which of a part's, by our names.
struct TensorNames {
  /// What an archive has of a tensor of ours.
  struct Entry {
    /// For each stored tensor that ours consists of its index; nil for those that are missing.
    fileprivate(set) var indices: [Int?]
    /// The lowest of them.
    let first: Int
    /// A stored tensor that holds the same rows in another form.
    fileprivate(set) var rival: Int?
    fileprivate let rowOrders: [NameRule.RowOrder]

    init(_ index: Int, _ rowOrder: NameRule.RowOrder) {
      first = index
      rowOrders = rowOrder.allParts
      indices = rowOrders.map { $0 == rowOrder ? index : nil }
    }

    /// Takes another stored tensor of the same tensor of ours.
    mutating func add(_ index: Int, _ rowOrder: NameRule.RowOrder) {
      guard let part = rowOrders.firstIndex(of: rowOrder) else {
        rival = rival ?? index
        return
      }
      // A second name for the same tensor (tied embeddings) is explained, but not needed.
      indices[part] = indices[part] ?? index
    }
  }

  /// One of the stored tensors that a tensor of ours consists of.
  struct Part {
    /// Nil if it is missing.
    let index: Int?
    /// The name under which the file has, or should have, it.
    let name: String
    let rowOrder: NameRule.RowOrder
  }

  /// By our names.
  let entries: [String: Entry]
  /// Tensors of the archive that the part explains, used or not, in file order.
  let claimed: [Int]

  private let archive: TensorArchive
  private let place: PartLocation
  private let levels: Int

  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - place: where the part was found.
  ///   - matcher: recognizes names.
  init(_ archive: TensorArchive, at place: PartLocation, _ matcher: NameMatcher) {
    self.archive = archive
    self.place = place
    let naming = Naming(place)
    levels = naming.levelCount(archive.tensors, matcher)
    var entries: [String: Entry] = [:]
    var claimed: [Int] = []
    for (index, record) in archive.tensors.records.enumerated() {
      var first: (rule: NameRule, name: String)?
      naming.forEachMatch(of: record.name, matcher) { [levels] rule, numbers in
        guard first == nil, let name = rule.canonicalName(numbers, levels: levels) else { return }
        first = (rule, name)
      }
      guard let first else { continue }
      claimed.append(index)
      if entries[first.name]?.add(index, first.rule.rowOrder) == nil {
        entries[first.name] = Entry(index, first.rule.rowOrder)
      }
    }
    self.entries = entries
    self.claimed = claimed
  }

  /// One more than the highest number in place of `{i}` after a prefix such as `single_layers.`.
  ///
  /// Bounded by the number of tensors, so that a stray number cannot make work.
  func layerCount(_ prefix: String) -> Int {
    let numbers = entries.keys.lazy.filter { $0.hasPrefix(prefix) }.compactMap {
      $0.dropFirst(prefix.count).split(separator: ".").first.flatMap { Int($0) }
    }
    return min((numbers.max() ?? -1) + 1, entries.count)
  }

  /// The name under which the file has, or should have, a tensor; of several the first.
  func storedName(_ name: String) -> String {
    if let entry = entries[name] { return archive.tensors.records[entry.first].name }
    return place.prefix + (place.table.foreign(of: name, levels: levels).first?.name ?? name)
  }

  /// The stored tensors that one of ours consists of, there or not, in the order of our rows.
  func parts(of name: String) -> [Part] {
    guard let entry = entries[name] else {
      let parts = place.table.foreign(of: name, levels: levels)
      if parts.isEmpty {
        return [Part(index: nil, name: place.prefix + name, rowOrder: .asStored)]
      }
      return parts.map { Part(index: nil, name: place.prefix + $0.name, rowOrder: $0.rowOrder) }
    }
    return zip(entry.indices, entry.rowOrders).map { index, rowOrder in
      let name =
        index.map { archive.tensors.records[$0].name } ?? missingName(name, rowOrder)
      return Part(index: index, name: name, rowOrder: rowOrder)
    }
  }

  private func missingName(_ name: String, _ rowOrder: NameRule.RowOrder) -> String {
    let parts = place.table.foreign(of: name, levels: levels, as: rowOrder)
    return place.prefix + (parts.first { $0.rowOrder == rowOrder }?.name ?? name)
  }
}

/// What of a place tells its names from others. Little, for it is copied for each of thousands.
private struct Naming {
  private let scheme: Int
  private let prefix: String
  private let rules: [NameRule]

  init(_ place: PartLocation) {
    scheme = place.scheme
    prefix = place.prefix
    rules = place.table.rules
  }

  /// The rules of the scheme that fit the whole of a name behind the prefix.
  func forEachMatch(
    of name: String, _ matcher: NameMatcher, _ body: (NameRule, NameMatcher.BoundNumbers) -> Void
  ) {
    guard name.utf8.starts(with: prefix.utf8) else { return }
    matcher.forEachMatch(of: name) { match in
      guard match.scheme == scheme, match.prefixLength == prefix.utf8.count else { return }
      body(rules[match.rule], match.numbers)
    }
  }

  /// One more than the highest level in some names; 0 for schemes that all count alike.
  func levelCount(_ tensors: TensorTable, _ matcher: NameMatcher) -> Int {
    guard rules.contains(where: \.countsDown) else { return 0 }
    var highest = -1
    for record in tensors.records {
      forEachMatch(of: record.name, matcher) { rule, numbers in
        highest = max(highest, rule.levelNumber(numbers) ?? -1)
      }
    }
    return highest + 1
  }
}
