import ModelFiles

/// Finds weights that lie in a file in another form than the rest: as several tensors where a part
/// of the model has one, or the reverse.
enum OtherForms {
  /// Tensors of no part that hold rows of a part.
  ///
  /// - Parameters:
  ///   - foreign: tensors of no part, as indices.
  ///   - archive: an opened checkpoint.
  ///   - places: the parts in it.
  ///   - catalog: names of all networks.
  /// - Returns: each with the index of the part whose rows it holds, and what is wrong.
  static func faults(
    among foreign: [Int], of archive: TensorArchive, _ places: [PartLocation],
    _ catalog: FamilyCatalog
  ) -> [(index: Int, part: Int, fault: String)] {
    let matcher = catalog.matcher
    // Most networks store every tensor in one form only.
    let parts = places.indices.filter { part in
      places[part].network.tables.contains(where: \.hasParts)
    }
    guard !parts.isEmpty else { return [] }
    return foreign.compactMap { index in
      let record = archive.tensors.records[index]
      var found: (index: Int, part: Int, fault: String)?
      matcher.forEachMatch(of: record.name) { match in
        let scheme = matcher.schemes[match.scheme]
        let rule = scheme.table.rules[match.rule]
        let part = parts.first { part in
          places[part].network.id == catalog.networks[scheme.network].id
            && places[part].prefix.utf8.count == match.prefixLength
            && record.name.utf8.starts(with: places[part].prefix.utf8)
        }
        guard found == nil, let part, let name = rule.canonicalName(match.numbers, levels: 0),
          let other = places[part].table.foreign(of: name, levels: 0).first,
          !other.rowOrder.hasForm(of: rule.rowOrder)
        else { return }
        found = (
          index, part,
          "the \(places[part].slot.name)'s other tensors are of the form in which these weights are "
            + "called '\(places[part].prefix)\(other.name)', and a file must have one form"
        )
      }
      return found
    }
  }
}
