import BlockFormats

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

  /// Compares names byte by byte; Swift's own order would take canonically equal names for one.
  static func precedes(_ left: String, _ right: String) -> Bool {
    left.utf8.lexicographicallyPrecedes(right.utf8)
  }
}

/// Computes the size of a tensor with checked arithmetic.
///
/// - Parameters:
///   - shape: row-major dimensions.
///   - type: how the elements are encoded.
/// - Returns: elements and bytes, or nil where a product overflows or rows are no whole blocks.
func tensorSize(shape: [UInt64], type: ElementType) -> (elements: Int, bytes: Int)? {
  var elements: UInt64 = 1
  // A zero anywhere makes the size zero, whatever the other dimensions are.
  if shape.contains(0) { return (0, 0) }
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
  /// Most tensors that a file may list; no known checkpoint has a tenth of it.
  public static let maximumCount = 1 << 18

  /// All tensors, in the order of the file.
  public let records: [TensorRecord]
  /// Indices of `records`, ordered by name.
  private let order: [Int32]

  /// Builds the table, or returns the name that occurs twice.
  static func make(_ records: [TensorRecord]) -> Result<TensorTable, DuplicateName> {
    let order = records.indices.map { Int32($0) }.sorted {
      TensorRecord.precedes(records[Int($0)].name, records[Int($1)].name)
    }
    for (left, right) in zip(order, order.dropFirst()) {
      let name = records[Int(left)].name
      if name.utf8.elementsEqual(records[Int(right)].name.utf8) {
        return .failure(DuplicateName(name: name))
      }
    }
    return .success(TensorTable(records: records, order: order))
  }

  struct DuplicateName: Error {
    let name: String
  }

  private init(records: [TensorRecord], order: [Int32]) {
    self.records = records
    self.order = order
  }

  /// The index in `records` of the tensor with exactly this name.
  public func index(of name: String) -> Int? {
    var low = 0
    var high = order.count
    while low < high {
      let middle = (low + high) / 2
      if TensorRecord.precedes(records[Int(order[middle])].name, name) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    guard low < order.count else { return nil }
    let index = Int(order[low])
    return records[index].name.utf8.elementsEqual(name.utf8) ? index : nil
  }
}
