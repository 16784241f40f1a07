import Machine

/// The upper triangle of a square matrix, in panels of 256 columns that end with their block on the
/// diagonal: half the memory of the square, and each block is a plain matrix to BLAS.
package final class UpperPanels: Sendable {
  /// Columns of a panel; the last one may have fewer.
  package static let width = 256

  package let columns: Int
  /// The columns of each panel.
  package let panels: [Range<Int>]
  private let memory: FloatBuffer

  /// Begins with zeros.
  ///
  /// - Parameter columns: of the square.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(columns: Int) throws(ComputeError) {
    guard columns >= 0, columns <= 1 << 24 else { throw .outOfMemory(byteCount: .max) }
    self.columns = columns
    panels = stride(from: 0, to: columns, by: Self.width).map {
      $0..<min(columns, $0 + Self.width)
    }
    let count = Self.count(columns: columns)
    memory = try FloatBuffer(count: count)
    memory.pointer.initialize(repeating: 0, count: count)
  }

  /// Elements that are stored.
  private static func count(columns: Int) -> Int {
    let (whole, rest) = columns.quotientAndRemainder(dividingBy: width)
    return whole * (whole + 1) / 2 * width * width + rest * columns
  }

  /// Bytes of the triangle of a square.
  package static func byteCount(columns: Int) -> Int {
    count(columns: columns) * MemoryLayout<Float>.stride
  }

  /// A panel, row by row: all rows down to the end of its block on the diagonal.
  package func panel(_ index: Int) -> UnsafeMutablePointer<Float> {
    memory.pointer + index * (index + 1) / 2 * Self.width * Self.width
  }

  /// The rows of one panel and the columns of another one, not before it, row by row; rows are as
  /// long as the columns are many.
  package func block(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
    panel(column) + row * Self.width * panels[column].count
  }

  /// The element in a row and a column, not before it.
  package subscript(row: Int, column: Int) -> Float {
    get { panel(column / Self.width)[offset(row, column)] }
    set { panel(column / Self.width)[offset(row, column)] = newValue }
  }

  private func offset(_ row: Int, _ column: Int) -> Int {
    let index = column / Self.width
    return row * panels[index].count + column - index * Self.width
  }
}
