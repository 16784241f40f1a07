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
  private let overlay: TensorArchive?
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

  private let names: TensorNames

  /// Scales and other facts beside weights.
  private let companions: WeightCompanions

  /// - Parameters:
  ///   - contents: an opened checkpoint.
  ///   - place: where the network was found.
  ///   - slot: the part that it is.
  ///   - matcher: recognizes names.
  ///   - overlay: matrices by our names that are used instead.
  init(
    _ contents: ArchiveContents, at place: PartLocation, as slot: Slot, _ matcher: NameMatcher,
    overlay: TensorArchive? = nil
  ) {
    self.slot = slot
    network = slot.network(place.network.id) ?? place.network
    archive = contents.archive
    companions = contents.companions
    self.overlay = overlay
    location = Location(scheme: place.table.scheme, prefix: place.prefix)
    names = TensorNames(archive, at: place, matcher)
  }

  /// The path to name in messages.
  package var path: String { archive.path }

  // MARK: What is there

  /// The shape of a tensor, without dimensions of 1 at its front; nil if it is missing or empty.
  ///
  /// Files disagree on such dimensions (`[1, n, d]` or `[n, d]` for position tables).
  package func shape(of name: String) -> [Int]? {
    names.entries[name].flatMap { entry in
      let record = archive.tensors.records[entry.index]
      return record.elementCount > 0 ? Self.trimmed(record.shape) : nil
    }
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

  /// Whether the file has a tensor.
  package func has(_ name: String) -> Bool { names.entries[name] != nil }

  /// The shape in which the network asked for a tensor; nil if it did not.
  package func requestedShape(_ name: String) -> [Int]? { requests[name] }

  /// Our names with the places of the tensors in the archive, in file order.
  var storedTensors: [(name: String, index: Int, rowOrder: NameRule.RowOrder)] {
    names.entries.map { ($0.key, $0.value.index, $0.value.rowOrder) }.sorted { $0.index < $1.index }
  }

  // MARK: Asking for tensors

  package func matrix(
    _ name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix {
    try collecting(or: WeightMatrix(segments: [], columns: columns)) {
      () throws(ModelFileError) in
      let entry = try entry(name, shape: [rows, columns])
      let record = record(of: entry.index)
      let shape = Self.trimmed(record.shape)
      let inner = shape.dropFirst().reduce(1, *)
      guard record.elementCount == rows * columns, shape.first ?? 1 == rows || rows == 1,
        inner == columns || rows == 1
      else { throw wrongShape(record, expected: "[\(rows), \(columns)]") }
      if let replacement = try replacement(of: name, rows: rows, columns: columns) {
        return replacement
      }
      return try matrix(entry, record, rows: rows, columns: columns, name: name)
    }
  }

  package func convolution(
    _ name: String, outputs: Int, inputs: Int, kernel: Int
  ) throws(ModelFileError) -> WeightMatrix {
    try collecting(or: WeightMatrix(segments: [], columns: inputs * kernel * kernel)) {
      () throws(ModelFileError) in
      let expected = [outputs, inputs, kernel, kernel]
      let entry = try entry(name, shape: expected)
      let record = record(of: entry.index)
      guard record.shape == expected || kernel == 1 && record.shape == [outputs, inputs] else {
        throw wrongShape(record, expected: "\(expected)")
      }
      return try matrix(
        entry, record, rows: outputs, columns: inputs * kernel * kernel, name: name)
    }
  }

  package func vector(_ name: String, count: Int) throws(ModelFileError) -> [Float] {
    try collecting(or: []) { () throws(ModelFileError) in
      let entry = try entry(name, shape: [count])
      let record = record(of: entry.index)
      guard record.elementCount == count, Self.trimmed(record.shape).count <= 1 else {
        throw wrongShape(record, expected: "[\(count)]")
      }
      return try decoded(matrix(entry, record, rows: 1, columns: count, name: name))
    }
  }

  package func values(_ name: String, rows: Int, columns: Int) throws(ModelFileError) -> [Float] {
    try decoded(matrix(name, rows: rows, columns: columns))
  }

  private func decoded(_ matrix: WeightMatrix) throws(ModelFileError) -> [Float] {
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
      if faults.count < Self.maximumFaults { faults.append(error) }
      return substitute()
    }
  }

  package func expectNothingElse(ignoring: [String]) throws(ModelFileError) {
    let unused = names.entries.filter { name, _ in
      requests[name] == nil && !ignoring.contains { name.hasPrefix($0) }
    }
    // The first in file order, so that the message does not depend on hashing.
    let places = unused.values.map(\.index).sorted()
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
    guard let entry = names.entries[name] else { return missing(name, expected: expected) }
    return wrongShape(archive.tensors.records[entry.index], expected: expected)
  }

  package func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: fault)
  }

  package func storedName(_ name: String) -> String { names.storedName(name) }

  // MARK: Parts

  private func entry(_ name: String, shape: [Int]) throws(ModelFileError) -> TensorNames.Entry {
    let expected = "\(shape)"
    guard let entry = names.entries[name] else { throw missing(name, expected: expected) }
    let record = record(of: entry.index)
    // An empty tensor may have huge dimensions beside its zero; none is of use.
    guard record.elementCount > 0 else { throw wrongShape(record, expected: expected) }
    requests[name] = shape
    return entry
  }

  private func missing(_ name: String, expected: String) -> ModelFileError {
    malformed(
      "tensor '\(storedName(name))' is missing, expected shape \(expected): "
        + "the \(slot.name) is incomplete or of another architecture")
  }

  private func wrongShape(_ record: TensorRecord, expected: String) -> ModelFileError {
    malformed(
      "tensor '\(record.name)' has shape \(record.shape), expected \(expected)")
  }

  private func matrix(
    _ entry: TensorNames.Entry, _ record: TensorRecord, rows: Int, columns: Int, name: String
  ) throws(ModelFileError) -> WeightMatrix {
    try expectWeightType(record)
    guard let rowBytes = record.type.byteCount(elements: columns) else {
      throw malformed(
        "tensor '\(record.name)' of type \(record.type.name) has rows of \(columns) elements, "
          + "expected whole blocks of \(record.type.elementsPerBlock)")
    }
    let storage = archive.storage(of: entry.index)
    func segment(_ range: Range<Int>) -> WeightMatrix.Segment {
      WeightMatrix.Segment(
        storage: storage, offset: range.lowerBound * rowBytes, type: record.type,
        rows: range.count)
    }
    let segments =
      entry.rowOrder == .asStored
      ? [segment(0..<rows)] : [segment(rows / 2..<rows), segment(0..<rows / 2)]
    return WeightMatrix(
      segments: segments, columns: columns,
      scale: try scale(of: entry.index, rowOrder: entry.rowOrder), name: name)
  }

  /// The overlay's matrix of a name, if it has one.
  private func replacement(
    of name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix? {
    guard let overlay, let index = overlay.tensors.index(of: name) else { return nil }
    let record = overlay.tensors.records[index]
    guard record.shape == [rows, columns] else {
      throw ModelFileError(
        path: overlay.path, kind: .malformed,
        fault: "tensor '\(name)' has shape \(record.shape), expected [\(rows), \(columns)]")
    }
    try expectWeightType(record)
    let segment = WeightMatrix.Segment(
      storage: overlay.storage(of: index), type: record.type, rows: rows)
    return WeightMatrix(segments: [segment], columns: columns, name: name)
  }

  /// A tensor as it is used.
  func record(of index: Int) -> TensorRecord {
    let record = archive.tensors.records[index]
    return companions.types[index].map { record.retyped($0) } ?? record
  }

  /// Refuses tensors of types that cannot be read or hold no weights.
  func expectWeightType(_ record: TensorRecord) throws(ModelFileError) {
    guard !record.type.isWeightType else { return }
    let known = ElementType.allCases.filter(\.isWeightType).map(\.name)
    throw ModelFileError(
      path: path, kind: record.type.isBlockQuantized ? .unsupported : .malformed,
      fault:
        "tensor '\(record.name)' has type \(record.type.name), which is not supported: expected "
        + "one of \(known.joined(separator: ", ")); take another version of the model")
  }

  /// The factors of a scaled fp8 weight, in the order of our rows.
  func scale(
    of index: Int, rowOrder: NameRule.RowOrder
  ) throws(ModelFileError) -> WeightScale {
    guard let place = companions.scales[index] else { return .one }
    let name = archive.tensors.records[place].name
    let values = try archive.values(of: place)
    // A row of zeros may have the scale 0; a whole matrix that is switched off may not.
    guard let first = values.first, values.allSatisfy({ $0 >= 0 && $0.isFinite }),
      values.contains(where: { $0 > 0 })
    else {
      throw malformed(
        "tensor '\(name)', a scale, holds a number that is negative, not finite, or nothing but 0: the "
          + "file is damaged, download it again")
    }
    guard values.count > 1 else { return first == 1 ? .one : .all(first) }
    let scale = WeightScale.rows(values)
    return rowOrder == .asStored ? scale : scale.halvesSwapped
  }

  private static func trimmed(_ shape: [Int]) -> [Int] {
    Array(shape.drop { $0 == 1 })
  }
}
