import BlockFormats
import ModelFiles

/// How much each input column of a weight matters: the mean squared activation that meets it, from
/// an importance matrix file (`imatrix`) of ours or of llama.cpp.
///
/// Two forms are read. GGUF: for a tensor NAME a float32 tensor `NAME.in_sum2` of `[1, columns]`,
/// the sum of squared activations, and `NAME.counts` of `[1, 1]`, over how many rows. Older tools
/// wrote a binary list (`imatrix.dat`), see `LegacyImportanceFile`.
///
/// - SeeAlso: llama.cpp `tools/imatrix/imatrix.cpp`, `save_imatrix` and `save_imatrix_legacy`.
package struct ImportanceMatrix: Sendable {
  /// Ending of the tensor with sums of squares.
  package static let sumsEnding = ".in_sum2"
  /// Ending of the tensor with the number of rows.
  package static let countsEnding = ".counts"
  /// Maximum number of columns of a matrix; the widest known has 18,432.
  static let maximumColumns = 1 << 20
  /// Maximum number of values in all: a full-size transformer with its text encoder has 2 million.
  private static let maximumValues = 1 << 26

  /// The file.
  package let path: String
  /// Names of tensors that no network of any known family has, in file order.
  package let unknownNames: [String]
  /// Prompts or texts that it was made from; nil if it does not say.
  package let chunkCount: Int?
  /// By our name of the tensor.
  private let entries: [String: Entry]
  private let catalog: FamilyCatalog

  /// What a file says about one tensor.
  struct Entry: Sendable {
    /// The tensor as the file calls it.
    let name: String
    /// Mean squared activation of each column.
    let means: [Float]
  }

  /// Number of tensors that can be asked for.
  package var count: Int { entries.count }

  /// Opens and checks a file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - catalog: the families whose tensors it may be about.
  /// - Throws: `ModelFileError` if it is not an importance matrix, damaged, or of no known family.
  package init(path: String, in catalog: FamilyCatalog) throws(ModelFileError) {
    let file = try MappedFile(path: path)
    let found: [Entry]
    if file.bytes.prefix(4).elementsEqual("GGUF".utf8) {
      let archive = try TensorArchive(path: path)
      found = try Self.entries(of: archive)
      chunkCount = archive.gguf?.value(for: "imatrix.chunk_count")?.integer
    } else {
      (found, chunkCount) = try LegacyImportanceFile.read(file)
    }
    self.path = path
    self.catalog = catalog
    var entries: [String: Entry] = [:]
    var unknownNames: [String] = []
    for entry in found {
      let canonical = catalog.canonical(entry.name)
      if canonical.isEmpty { unknownNames.append(entry.name) }
      for (name, rowOrder) in canonical {
        guard let other = entries[name] else {
          entries[name] = entry
          continue
        }
        // Parts of one tensor of ours meet the same activations.
        guard rowOrder.sharing != nil, other.means.count == entry.means.count,
          !catalog.canonical(other.name).contains(where: { $0 == (name, rowOrder) })
        else {
          throw file.malformed(
            "'\(other.name)' and '\(entry.name)' are the same tensor: expected each once")
        }
      }
    }
    guard !entries.isEmpty else {
      throw file.malformed(
        "holds no tensor of \(catalog.modelPhrase)'s \(catalog.quantizedParts)"
          + (unknownNames.first.map { " (its first is '\($0)')" } ?? "")
          + ": make one with 'auraflow imatrix'")
    }
    self.entries = entries
    self.unknownNames = unknownNames
  }

  /// The importance of each input column of a tensor.
  ///
  /// - Parameters:
  ///   - tensorName: the tensor in any known naming, with or without a prefix.
  ///   - columns: elements of its rows.
  /// - Returns: mean squared activations, finite and not negative; nil if the file has none for the
  ///   tensor.
  /// - Throws: `ModelFileError` if the file is about a tensor of other width.
  package func importance(
    of tensorName: String, columns: Int
  ) throws(ModelFileError) -> [Float]? {
    let names = [tensorName] + catalog.canonicalNames(tensorName)
    guard let entry = names.lazy.compactMap({ entries[$0] }).first else { return nil }
    guard entry.means.count == columns else {
      throw ModelFileError(
        path: path, kind: .contradicted,
        fault: "has \(entry.means.count) columns for '\(entry.name)', the model's tensor has "
          + "\(columns): it was made for another model")
    }
    return entry.means
  }

  // MARK: GGUF

  private static func entries(of archive: TensorArchive) throws(ModelFileError) -> [Entry] {
    let type = archive.gguf?.value(for: "general.type")
    guard (type?.stringLength ?? 0) <= 256, type?.string == "imatrix" else {
      throw ModelFileError(
        path: archive.path, kind: .malformed,
        fault: "is not an importance matrix: metadata 'general.type' is "
          + (type?.textPrefix(40).map { "'\($0)'" } ?? "missing") + ", expected 'imatrix'")
    }
    var entries: [Entry] = []
    var valueCount = 0
    for (index, record) in archive.tensors.records.enumerated()
    where record.name.hasSuffix(sumsEnding) {
      valueCount += try expectRow(record, in: archive)
      guard valueCount <= maximumValues else {
        throw malformed(archive, "has more than \(maximumValues) sums, which no model needs")
      }
      entries.append(try entry(index, of: archive))
    }
    for record in archive.tensors.records where record.name.hasSuffix(countsEnding) {
      let name = record.name.dropLast(countsEnding.count) + sumsEnding
      guard archive.tensors.index(of: String(name)) != nil else {
        throw malformed(archive, "tensor '\(name)' is missing beside '\(record.name)'")
      }
    }
    return entries
  }

  /// One tensor's sums and their count.
  private static func entry(
    _ index: Int, of archive: TensorArchive
  ) throws(ModelFileError) -> Entry {
    let sumsName = archive.tensors.records[index].name
    let name = String(sumsName.dropLast(sumsEnding.count))
    guard let place = archive.tensors.index(of: name + countsEnding) else {
      throw malformed(archive, "tensor '\(name)\(countsEnding)' is missing beside '\(sumsName)'")
    }
    let record = archive.tensors.records[place]
    guard try expectRow(record, in: archive) == 1 else {
      throw malformed(
        archive, "tensor '\(record.name)' has shape \(record.shape), expected a single number")
    }
    let count = try floats(of: place, in: archive)[0]
    guard count.isFinite, count > 0 else {
      throw malformed(
        archive,
        "tensor '\(record.name)' is \(count), expected a number above 0: nothing was measured")
    }
    let sums = try floats(of: index, in: archive)
    return Entry(
      name: name, means: try checkedMeans(sums, count: count, of: sumsName, archive.path))
  }

  /// The width of a tensor that must be a single row of float32.
  private static func expectRow(
    _ record: TensorRecord, in archive: TensorArchive
  ) throws(ModelFileError) -> Int {
    guard record.type == .f32 else {
      throw malformed(
        archive, "tensor '\(record.name)' has type \(record.type.name), expected F32")
    }
    let columns = record.shape.last ?? 1
    guard (1...maximumColumns).contains(columns), record.elementCount == columns else {
      throw malformed(
        archive,
        "tensor '\(record.name)' has shape \(record.shape), expected [1, columns] with at "
          + "most \(maximumColumns) columns")
    }
    return columns
  }

  private static func floats(
    of index: Int, in archive: TensorArchive
  ) throws(ModelFileError) -> [Float] {
    let bytes = try archive.copy(of: index)
    return bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { index in
        Float(
          bitPattern: UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
      }
    }
  }

  /// Sums over a number of rows as means.
  ///
  /// - Throws: `ModelFileError` for a sum that cannot be one of squares.
  static func checkedMeans(
    _ sums: [Float], count: Float, of name: String, _ path: String
  ) throws(ModelFileError) -> [Float] {
    let means = sums.map { $0 / count }
    guard let wrong = means.indices.first(where: { !(means[$0] >= 0 && means[$0].isFinite) })
    else { return means }
    throw ModelFileError(
      path: path, kind: .malformed,
      fault: "'\(name)' has \(sums[wrong]) in column \(wrong), expected a finite sum of squares: "
        + "the file is damaged or was made with a broken model")
  }

  private static func malformed(_ archive: TensorArchive, _ fault: String) -> ModelFileError {
    ModelFileError(path: archive.path, kind: .malformed, fault: fault)
  }
}

extension FamilyCatalog {
  /// Our names for a matrix of a network that is quantized, in whatever naming, behind whatever
  /// prefix: several where networks share one of their names; none for other names.
  package func canonicalNames(_ name: String) -> [String] { canonical(name).map(\.name) }

  /// The same with which of our rows the tensor has.
  fileprivate func canonical(_ name: String) -> [(name: String, rowOrder: NameRule.RowOrder)] {
    var best: [Int: NameMatcher.Match] = [:]
    matcher.forEachMatch(of: name) { match in
      let network = matcher.schemes[match.scheme].network
      // The longest pattern explains most of the name.
      guard networks[network].convention != nil,
        match.prefixLength < best[network]?.prefixLength ?? .max
      else { return }
      best[network] = match
    }
    let shortest = best.values.map(\.prefixLength).min()
    var found: [(name: String, rowOrder: NameRule.RowOrder)] = []
    for (_, match) in best.sorted(by: { $0.key < $1.key })
    where match.prefixLength == shortest {
      let rule = matcher.schemes[match.scheme].table.rules[match.rule]
      guard let name = rule.canonicalName(match.numbers, levels: 0),
        !found.contains(where: { $0.name == name })
      else { continue }
      found.append((name, rule.rowOrder))
    }
    return found
  }

  /// The parts that are quantized, in words.
  fileprivate var quantizedParts: String {
    var seen: Set<String> = []
    return slots.filter { $0.networks.contains { $0.convention != nil } }.map(\.name)
      .filter { seen.insert($0).inserted }.joined(separator: " or ")
  }
}
