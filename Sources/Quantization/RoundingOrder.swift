import BlockFormats

/// In which order columns are rounded: blocks, and groups in super-blocks, in falling order of the
/// squares of their inputs.
package enum RoundingOrder: Sendable, Hashable {
  /// For one kind of format: the columns of its blocks, and of groups in them.
  case blocks(columns: Int, group: Int)
  /// For all formats: super-blocks, and the blocks of 32 in each.
  case any

  /// The order that suits a type best; nil for types without blocks.
  init?(for type: ElementType) {
    guard let group = type.codeLayout?.groupWidth else { return nil }
    self = .blocks(columns: type.elementsPerBlock, group: group)
  }

  /// The order that suits all of some types.
  package init(for types: [ElementType]) {
    let orders = Set(types.map { RoundingOrder(for: $0) })
    self = orders.count == 1 ? orders.first.flatMap { $0 } ?? .any : .any
  }

  /// - Parameter squares: of each column's inputs.
  /// - Returns: the columns in their new order.
  func columns(_ squares: [Double]) -> [Int32] {
    let widths =
      switch self {
      case .blocks(let columns, let group): [columns, group]
      // Rows that are no whole super-blocks have no format with any.
      case .any: squares.count % 256 == 0 ? [256, 32] : [32]
      }
    return Self.order(0..<squares.count, squares, widths[...]).map { Int32($0) }
  }

  private static func order(
    _ range: Range<Int>, _ squares: [Double], _ widths: ArraySlice<Int>
  ) -> [Int] {
    guard let width = widths.first else { return Array(range) }
    let parts = stride(from: range.lowerBound, to: range.upperBound, by: width).map {
      $0..<min(range.upperBound, $0 + width)
    }
    let sums = parts.map { squares[$0].reduce(0, +) }
    return parts.indices.sorted { (sums[$0], $1) > (sums[$1], $0) }
      .flatMap { order(parts[$0], squares, widths.dropFirst()) }
  }
}
