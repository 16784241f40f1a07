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
  /// Index in `NameMatcher.all.schemes`.
  let scheme: Int
  /// Leading name components, with a trailing dot unless empty.
  let prefix: String
  /// Tensors that carry the prefix and a name of the scheme.
  let count: Int

  var table: NameTable { NameMatcher.all.schemes[scheme].table }
}

/// Finds the parts of a model in a list of tensor names, whatever prefixes a tool gave them.
enum ComponentLocator {
  /// Fewer recognized tensors than this are chance.
  private static let fewest = 6
  /// The only prefixes under which tiny decoders are looked for.
  private static let fallbackPrefixes = ["", "taesd_decoder.", "decoder.", "vae."]

  /// For each part that is there, the naming and prefix under which most of its tensors are
  /// recognized; in the order of `ModelPart`.
  static func locate(in tensors: TensorTable) -> [PartLocation] {
    let matcher = NameMatcher.all
    var votes = [[NamePrefix: Int]](repeating: [:], count: matcher.schemes.count)
    var seen: [(scheme: Int, prefixLength: Int)] = []
    for record in tensors.records {
      // Each name votes once per prefix, even where two rules match it.
      seen.removeAll(keepingCapacity: true)
      matcher.forEachMatch(of: record.name) { match in
        guard !seen.contains(where: { $0 == (match.scheme, match.prefixLength) }) else { return }
        seen.append((match.scheme, match.prefixLength))
        let prefix = NamePrefix(name: record.name, length: match.prefixLength)
        guard !matcher.schemes[match.scheme].isFallback || isFallbackPrefix(prefix) else { return }
        votes[match.scheme][prefix, default: 0] += 1
      }
    }
    return ModelPart.allCases.compactMap { part in
      winner(for: part, votes, isFallback: false) ?? winner(for: part, votes, isFallback: true)
    }
  }

  private static func isFallbackPrefix(_ prefix: NamePrefix) -> Bool {
    fallbackPrefixes.contains { $0.utf8.count == prefix.length && $0 == prefix.text }
  }

  private static func winner(
    for part: ModelPart, _ votes: [[NamePrefix: Int]], isFallback: Bool
  ) -> PartLocation? {
    var winner: (scheme: Int, prefix: NamePrefix, count: Int)?
    for (index, scheme) in NameMatcher.all.schemes.enumerated()
    where scheme.part == part && scheme.isFallback == isFallback {
      for (prefix, count) in votes[index] where count >= fewest {
        if let best = winner, !isBetter((prefix, count), than: (best.prefix, best.count)) {
          continue
        }
        winner = (index, prefix, count)
      }
    }
    return winner.map {
      PartLocation(part: part, scheme: $0.scheme, prefix: $0.prefix.text, count: $0.count)
    }
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
