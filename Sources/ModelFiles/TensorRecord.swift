import BlockFormats
import StrictJSON

/// Where one tensor lies in a file, and what it holds. Checked against the file's size.
public struct TensorRecord: Sendable {
  /// The name that the file gives it.
  public let name: String
  /// How the elements are encoded.
  public let type: ElementType
  /// Dimensions in row-major order, slowest first (`[out, in]` for a linear layer).
  public let shape: [Int]
  /// Offset of the first byte from the start of the file.
  public let byteOffset: Int
  /// Bytes of all elements.
  public let byteCount: Int

  /// Number of elements.
  ///
  /// Cannot overflow: the bytes of a tensor that has any were counted with checks. An empty one may
  /// have huge dimensions beside its zero.
  public var elementCount: Int { byteCount == 0 ? 0 : shape.reduce(1, *) }

  /// The same bytes as elements of another type of the same size.
  package func retyped(_ type: ElementType) -> TensorRecord {
    TensorRecord(
      name: name, type: type, shape: shape, byteOffset: byteOffset, byteCount: byteCount)
  }
}

/// Computes the size of a tensor with checked arithmetic.
///
/// - Parameters:
///   - shape: dimensions in the order in which the file has them.
///   - type: how the elements are encoded.
/// - Returns: elements and bytes, or nil where a product overflows or rows are not whole blocks.
func tensorSize(shape: [UInt64], type: ElementType) -> (elements: Int, bytes: Int)? {
  var elements: UInt64 = 1
  // In order, as the reference does: after a zero nothing overflows, before it everything counts.
  for dimension in shape {
    let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
    if overflow { return nil }
    elements = product
  }
  guard let count = Int(exactly: elements), let bytes = type.byteCount(elements: count) else {
    return nil
  }
  return (count, bytes)
}

/// The tensors of one file or sharded set, in file order, found by exact name.
public struct TensorTable: Sendable {
  /// Maximum number of tensors that a file may list; known checkpoints have a few thousand.
  public static let maximumCount = 1 << 16

  /// All tensors, in the order of the file.
  public let records: [TensorRecord]
  private let indexByName: [ExactName: Int32]

  /// Builds the table, or returns the name that occurs twice.
  static func make(_ records: [TensorRecord]) -> Result<TensorTable, DuplicateName> {
    var indexByName: [ExactName: Int32] = [:]
    indexByName.reserveCapacity(records.count)
    for (index, record) in records.enumerated() {
      guard indexByName.updateValue(Int32(index), forKey: ExactName(record.name)) == nil else {
        return .failure(DuplicateName(name: record.name))
      }
    }
    return .success(TensorTable(records: records, indexByName: indexByName))
  }

  struct DuplicateName: Error {
    let name: String
  }

  private init(records: [TensorRecord], indexByName: [ExactName: Int32]) {
    self.records = records
    self.indexByName = indexByName
  }

  /// The index in `records` of the tensor with exactly this name.
  public func index(of name: String) -> Int? { indexByName[ExactName(name)].map(Int.init) }
}
