import BlockFormats
import Compute
import ModelFiles

/// The tensors of one part of a model in a file, asked for by our names whatever the file calls
/// them.
///
/// Every request states the shape that the architecture demands; what was not asked for in the end
/// is reported as unexpected. So a checkpoint either fits in full or is refused by name.
package final class StoredWeights: WeightSource {
  /// The part that they are of.
  package let slot: Slot
  /// What is known of their network.
  package let network: NetworkDescription
  package let archive: TensorArchive
  /// Matrices by our names that are used instead of the archive's.
  let overlays: [TensorArchive]
  /// What is added to weights, by our names; nil for nothing.
  var adapters: PartAdapters?
  /// What was added to tensors that were asked for, by our names; of vectors to rows of one
  /// element.
  var updates: [String: [WeightUpdate]] = [:]
  package let location: Location
  /// The shapes in which tensors were asked for, by our names.
  private var requests: [String: [Int]] = [:]
  /// What was found wrong, where that is collected instead of thrown.
  package private(set) var faults: [ModelFileError] = []
  /// Tensors that nobody asked for, where they are collected instead of refused.
  package private(set) var superfluous: [TensorRecord] = []
  private var collectsFaults = false

  /// Maximum number of faults that are collected.
  private static let maximumFaults = 1000

  /// How a part is stored, for messages and listings.
  package struct Location: Sendable {
    package let scheme: String
    package let prefix: String
  }

  let names: TensorNames
  /// What the file says of products with each tensor.
  let errors: [ProductErrors?]

  /// Scales and other facts beside weights.
  let companions: WeightCompanions

  /// - Parameters:
  ///   - contents: an opened checkpoint.
  ///   - place: where the network was found.
  ///   - slot: the part that it is.
  ///   - matcher: recognizes names.
  ///   - overlays: matrices by our names that are used instead.
  init(
    _ contents: ArchiveContents, at place: PartLocation, as slot: Slot, _ matcher: NameMatcher,
    overlays: [TensorArchive] = []
  ) {
    self.slot = slot
    network = slot.network(place.network.id) ?? place.network
    archive = contents.archive
    companions = contents.companions
    self.overlays = overlays
    location = Location(scheme: place.table.scheme, prefix: place.prefix)
    names = TensorNames(archive, at: place, matcher)
    errors = archive.tensorErrors
  }

  /// The path to name in messages.
  package var path: String { archive.path }

  // MARK: What is there

  /// The shape of a tensor, without dimensions of 1 at its front; nil if it is missing or empty.
  ///
  /// Files disagree on such dimensions (`[1, n, d]` or `[n, d]` for position tables). Of a tensor
  /// that files store as several, it is the one by which most of them go.
  package func shape(of name: String) -> [Int]? {
    var counts: [[Int]: Int] = [:]
    var best: [Int]?
    for part in names.parts(of: name) {
      guard let index = part.index, let shape = shape(index, part.rowOrder) else { continue }
      counts[shape, default: 0] += 1
      if best.map({ counts[shape, default: 0] > counts[$0, default: 0] }) ?? true { best = shape }
    }
    return best
  }

  /// The shape of a tensor of ours, judged by one of those that it consists of.
  private func shape(_ index: Int, _ rowOrder: NameRule.RowOrder) -> [Int]? {
    let record = archive.tensors.records[index]
    guard record.elementCount > 0 else { return nil }
    guard rowOrder.sharing != nil else { return Self.trimmed(record.shape) }
    return rowOrder.count(ofStored: record.shape.first ?? 1)
      .map { Self.trimmed([$0] + record.shape.dropFirst()) }
  }

  /// One dimension of a tensor; nil if the tensor is missing or of another rank.
  package func dimension(_ name: String, _ index: Int, rank: Int) -> Int? {
    guard let shape = shape(of: name), shape.count == rank else { return nil }
    return shape[index]
  }

  /// One more than the highest number in place of `{i}` after a prefix such as `single_layers.`.
  ///
  /// Bounded by the number of tensors, so that a stray number cannot make work.
  package func layerCount(_ prefix: String) -> Int { names.layerCount(prefix) }

  /// Whether the file has a tensor, or a part of it.
  package func has(_ name: String) -> Bool { names.entries[name] != nil }

  /// The shape in which the network asked for a tensor; nil if it did not.
  package func requestedShape(_ name: String) -> [Int]? { requests[name] }

  /// Our names, in the order of the file.
  var storedTensors: [String] {
    names.entries.sorted { $0.value.first < $1.value.first }.map(\.key)
  }

  // MARK: Asking for tensors

  package func matrix(
    _ name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix {
    try collecting(or: WeightMatrix(segments: [], columns: columns)) {
      () throws(ModelFileError) in
      let parts = try parts(of: name, shape: [rows, columns]) { record, expected in
        let (shape, rows) = (Self.trimmed(record.shape), expected[0])
        let inner = shape.dropFirst().reduce(1, *)
        return record.elementCount == rows * columns && (shape.first ?? 1 == rows || rows == 1)
          && (inner == columns || rows == 1)
      }
      var weight = try matrix(parts, columns: columns, name: name)
      if let replacement = try replacement(of: name, rows: rows, columns: columns) {
        weight = replacement
      }
      return try adapted(weight, name)
    }
  }

  package func convolution(
    _ name: String, outputs: Int, inputs: Int, kernel: Int
  ) throws(ModelFileError) -> WeightMatrix {
    try collecting(or: WeightMatrix(segments: [], columns: inputs * kernel * kernel)) {
      () throws(ModelFileError) in
      let shape = [outputs, inputs, kernel, kernel]
      let parts = try parts(of: name, shape: shape) { record, expected in
        record.shape == expected || kernel == 1 && record.shape == Array(expected.prefix(2))
      }
      return try adapted(
        try matrix(parts, columns: inputs * kernel * kernel, name: name), name)
    }
  }

  package func vector(_ name: String, count: Int) throws(ModelFileError) -> [Float] {
    try collecting(or: []) { () throws(ModelFileError) in
      let parts = try parts(of: name, shape: [count]) { record, expected in
        record.elementCount == expected[0] && Self.trimmed(record.shape).count <= 1
      }
      return try adapted(try vector(parts, count: count, name: name), name)
    }
  }

  package func values(_ name: String, rows: Int, columns: Int) throws(ModelFileError) -> [Float] {
    try decoded(matrix(name, rows: rows, columns: columns))
  }

  func decoded(_ matrix: WeightMatrix) throws(ModelFileError) -> [Float] {
    do throws(ComputeError) {
      return try matrix.decoded()
    } catch {
      guard case .unreadable(let path, let fault) = error else {
        throw ModelFileError(path: path, kind: .unreadable, fault: error.description)
      }
      throw ModelFileError(path: path, kind: .unreadable, fault: fault)
    }
  }

  /// Makes every request for a tensor that is missing or unfit come back empty-handed, with the
  /// fault in `faults`, so that one pass finds all of them. What was opened like that must not be
  /// run.
  package func collectFaults() { collectsFaults = true }

  private func collecting<Value>(
    or substitute: @autoclosure () -> Value, _ body: () throws(ModelFileError) -> Value
  ) throws(ModelFileError) -> Value {
    do throws(ModelFileError) {
      return try body()
    } catch {
      guard collectsFaults else { throw error }
      collect(error)
      return substitute()
    }
  }

  private func collect(_ fault: ModelFileError) {
    if faults.count < Self.maximumFaults { faults.append(fault) }
  }

  package func expectNothingElse(ignoring: [String]) throws(ModelFileError) {
    let unused = names.entries.filter { name, _ in
      requests[name] == nil && !ignoring.contains { name.hasPrefix($0) }
    }
    // The first in file order, so that the message does not depend on hashing.
    let places = unused.values.flatMap { $0.indices.compactMap(\.self) }.sorted()
    guard let first = places.first else { return }
    guard !collectsFaults else {
      superfluous += places.map { archive.tensors.records[$0] }
      return
    }
    let record = archive.tensors.records[first]
    throw malformed(
      "tensor '\(record.name)' of shape \(record.shape) is unexpected: the \(slot.name) that "
        + "the other tensors describe has no tensor of this name")
  }

  /// The error about a tensor without which the part's sizes cannot be told: it is missing, or its
  /// shape is not one that it could have.
  package func unfit(_ name: String, expected: String) -> ModelFileError {
    let parts = names.parts(of: name)
    guard let part = parts.first(where: { $0.index == nil }) ?? parts.first else {
      return missing(storedName(name), expected: expected)
    }
    let expected =
      part.rowOrder.sharing.map { "a part of \(expected), whose rows are shared \($0)" }
      ?? expected
    guard let index = part.index else { return missing(part.name, expected: expected) }
    return wrongShape(archive.tensors.records[index], expected: expected)
  }

  /// The error about rows that cannot be divided as a file has them.
  func uneven(
    _ storedName: String, _ rowOrder: NameRule.RowOrder, _ name: String, _ shape: [Int]
  ) -> ModelFileError {
    let words =
      rowOrder.sharing.map { "is one of several that share the rows of '\(name)' as \($0)" }
      ?? "has the halves of '\(name)' swapped"
    return malformed(
      "tensor '\(storedName)' \(words), but rows of shape \(shape) do not divide like that")
  }

  func missing(_ storedName: String, expected: String) -> ModelFileError {
    malformed(
      "tensor '\(storedName)' is missing, expected shape \(expected): "
        + "the \(slot.name) is incomplete or of another architecture")
  }

  private func wrongShape(_ record: TensorRecord, expected: String) -> ModelFileError {
    malformed(
      "tensor '\(record.name)' has shape \(record.shape), expected \(expected)")
  }

  package func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: fault)
  }

  package func storedName(_ name: String) -> String { names.storedName(name) }

  // MARK: Parts

  /// Finds and checks what a tensor consists of.
  ///
  /// - Parameters:
  ///   - name: our name.
  ///   - shape: the shape in which it is asked for.
  ///   - fits: whether a stored tensor has, but for the way it is written, an expected shape.
  /// - Returns: the stored tensors in the order of our rows.
  /// - Throws: `ModelFileError` for the first that is missing or does not fit. Where faults are
  ///   collected, it is the last, and the others are collected before.
  private func parts(
    of name: String, shape: [Int], fits: (_ record: TensorRecord, _ expected: [Int]) -> Bool
  ) throws(ModelFileError) -> [StoredPart] {
    try expectOneForm(name)
    var found: [StoredPart] = []
    var fault: ModelFileError?
    for part in names.parts(of: name) {
      do throws(ModelFileError) {
        found.append(try stored(part, of: name, shape: shape, fits: fits))
      } catch {
        guard collectsFaults else { throw error }
        if let fault { collect(fault) }
        fault = error
      }
    }
    if let fault { throw fault }
    return found
  }

  private func stored(
    _ part: TensorNames.Part, of name: String, shape: [Int],
    fits: (_ record: TensorRecord, _ expected: [Int]) -> Bool
  ) throws(ModelFileError) -> StoredPart {
    guard let rows = part.rowOrder.rows(of: shape[0]) else {
      throw uneven(part.name, part.rowOrder, name, shape)
    }
    let expected = [rows.reduce(0) { $0 + $1.count }] + shape.dropFirst()
    guard let index = part.index else { throw missing(part.name, expected: "\(expected)") }
    let record = record(of: index)
    // An empty tensor may have huge dimensions beside its zero; none is of use.
    guard record.elementCount > 0 else { throw wrongShape(record, expected: "\(expected)") }
    requests[name] = shape
    guard fits(record, expected) else { throw wrongShape(record, expected: "\(expected)") }
    return StoredPart(index: index, record: record, rows: rows)
  }

  private static func trimmed(_ shape: [Int]) -> [Int] {
    Array(shape.drop { $0 == 1 })
  }
}
