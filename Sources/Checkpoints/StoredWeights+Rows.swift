import BlockFormats
import Compute
import ModelFiles

/// A stored tensor that holds rows of one of ours.
struct StoredPart {
  /// Its place in the archive.
  let index: Int
  let record: TensorRecord
  /// Our rows that it holds, in its order.
  let rows: [Range<Int>]

  var rowCount: Int { rows.reduce(0) { $0 + $1.count } }

  /// Consecutive rows of ours, in our order, with the rows of the stored tensor that they are.
  var pieces: [(ours: Range<Int>, stored: Range<Int>)] {
    var first = 0
    return rows.map { range in
      defer { first += range.count }
      return (range, first..<first + range.count)
    }.sorted { $0.ours.lowerBound < $1.ours.lowerBound }
  }
}

/// How weights are put together of rows that lie in several places.
extension StoredWeights {
  /// A matrix of the rows of some stored tensors.
  func matrix(
    _ parts: [StoredPart], columns: Int, name: String
  ) throws(ModelFileError) -> WeightMatrix {
    var segments: [WeightMatrix.Segment] = []
    var scales: [(scale: WeightScale, rows: Int)] = []
    for part in parts {
      let record = part.record
      let rowBytes = try rowBytes(record, columns: columns)
      let (storage, scale) = (archive.storage(of: part.index), try scale(of: part.index))
      for (_, rows) in part.pieces {
        segments.append(
          WeightMatrix.Segment(
            storage: storage, offset: rows.lowerBound * rowBytes, type: record.type,
            rows: rows.count, errors: errors[part.index]))
        scales.append((scale.rows(rows), rows.count))
      }
    }
    return WeightMatrix(
      segments: segments, columns: columns, scale: .joined(scales), name: name)
  }

  /// The values of some stored tensors, whose elements are the rows.
  func vector(
    _ parts: [StoredPart], count: Int, name: String
  ) throws(ModelFileError) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(count)
    for part in parts {
      let whole = StoredPart(index: part.index, record: part.record, rows: [0..<1])
      let stored = try decoded(matrix([whole], columns: part.rowCount, name: name))
      for (_, elements) in part.pieces { values += stored[elements] }
    }
    return values
  }

  /// Bytes of a row, or of a vector, in a type that holds weights.
  private func rowBytes(
    _ record: TensorRecord, columns: Int
  ) throws(ModelFileError) -> Int {
    try expectWeightType(record)
    guard let rowBytes = record.type.byteCount(elements: columns) else {
      throw malformed(
        "tensor '\(record.name)' of type \(record.type.name) has rows of \(columns) elements, "
          + "expected whole blocks of \(record.type.elementsPerBlock)")
    }
    return rowBytes
  }

  /// Refuses a file that holds the same rows twice, in several tensors and in one.
  func expectOneForm(_ name: String) throws(ModelFileError) {
    guard let entry = names.entries[name], let rival = entry.rival else { return }
    let records = archive.tensors.records
    throw malformed(
      "tensors '\(records[entry.first].name)' and '\(records[rival].name)' hold the same weights in "
        + "two forms, expected one")
  }

  /// An overlay's matrix of a name, if one has it.
  func replacement(
    of name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix? {
    guard let overlay = overlays.first(where: { $0.tensors.index(of: name) != nil }),
      let index = overlay.tensors.index(of: name)
    else { return nil }
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

  /// The factors of a scaled fp8 weight, in the order of its rows in the file.
  func scale(of index: Int) throws(ModelFileError) -> WeightScale {
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
    return .rows(values)
  }
}
