import ModelFiles

/// The parts that make a text-to-image model.
public enum ModelPart: String, CaseIterable, Sendable {
  case transformer
  case textEncoder = "text encoder"
  case autoencoder = "VAE"

  var tables: [NameTable] {
    switch self {
    case .transformer: AuraFlowNames.tables
    case .textEncoder: T5Names.tables
    case .autoencoder: AutoencoderNames.tables
    }
  }
}

/// Where one part of a model lies inside an archive: under which prefix, in which naming.
struct PartLocation: Sendable {
  let part: ModelPart
  let table: NameTable
  /// Leading name components, with a trailing dot unless empty.
  let prefix: String
  /// Tensors that carry the prefix and a name of the table.
  let count: Int
}

/// Finds the parts of a model in a list of tensor names, whatever prefixes a tool gave them.
enum ComponentLocator {
  /// Fewer recognized tensors than this are chance.
  private static let fewest = 6

  /// The naming and prefix under which most tensors of a part are recognized.
  static func locate(_ part: ModelPart, in tensors: TensorTable) -> PartLocation? {
    let names = tensors.records.map { nameComponents($0.name[...]) }
    if let location = best(part, part.tables, names, prefixes: nil), location.count >= fewest {
      return location
    }
    // Tiny decoders have names so short that only known prefixes may be tried.
    guard part == .autoencoder,
      let tiny = best(
        part, AutoencoderNames.tinyTables, names, prefixes: ["", "taesd_decoder", "decoder", "vae"]),
      tiny.count >= fewest
    else { return nil }
    return tiny
  }

  private static func best(
    _ part: ModelPart, _ tables: [NameTable], _ names: [[Substring]], prefixes: Set<String>?
  ) -> PartLocation? {
    var winner: PartLocation?
    for table in tables {
      var votes: [String: Int] = [:]
      for components in names {
        // Each name votes once per prefix, even where two rules match it.
        var seen: Set<Int> = []
        for rule in table.candidates(for: components) {
          guard let match = NameTable.match(rule, endOf: components),
            seen.insert(match.prefixCount).inserted
          else { continue }
          let prefix = components[..<match.prefixCount].joined(separator: ".")
          if prefixes?.contains(prefix) ?? true { votes[prefix, default: 0] += 1 }
        }
      }
      for (prefix, count) in votes {
        let location = PartLocation(
          part: part, table: table, prefix: prefix.isEmpty ? "" : prefix + ".", count: count)
        if winner.map({ isBetter(location, than: $0) }) ?? true { winner = location }
      }
    }
    return winner
  }

  private static func isBetter(_ left: PartLocation, than right: PartLocation) -> Bool {
    if left.count != right.count { return left.count > right.count }
    if left.prefix.count != right.prefix.count { return left.prefix.count < right.prefix.count }
    return left.prefix < right.prefix
  }
}
