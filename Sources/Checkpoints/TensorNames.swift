import ModelFiles

/// Which tensor of an archive is which of a part's, by our names.
struct TensorNames {
  struct Entry {
    let index: Int
    let rowOrder: NameRule.RowOrder
  }

  /// By our names; the first where an archive has several of one.
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
      // A second name for the same tensor (tied embeddings) is explained, but not needed.
      if entries[first.name] == nil {
        entries[first.name] = Entry(index: index, rowOrder: first.rule.rowOrder)
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

  /// The name under which the file has, or should have, a tensor.
  func storedName(_ name: String) -> String {
    if let entry = entries[name] { return archive.tensors.records[entry.index].name }
    return place.prefix + (place.table.foreign(of: name, levels: levels)?.name ?? name)
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
