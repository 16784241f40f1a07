/// What entered the products with one weight: how much each of its columns matters.
package struct ColumnSquares: Sendable {
  /// Sum of squares of each input column.
  package let squares: [Double]
  /// Rows that were added up.
  package let rows: Int

  package init(squares: [Double], rows: Int) {
    self.squares = squares
    self.rows = rows
  }
}
