/// What rounding activations to 8 bits does to rows.
package enum ActivationNoise {
  /// Columns that may share a scale.
  package static let widths = (narrow: 32, wide: 256)

  /// Rows as their 8-bit codes say, with a scale for each of some columns.
  ///
  /// - Parameters:
  ///   - rows: values.
  ///   - columns: of each row.
  ///   - width: columns that share a scale.
  /// - Returns: by how much each value changes.
  package static func errors(_ rows: [Float], columns: Int, width: Int) -> [Float] {
    var errors = rows
    for row in stride(from: 0, to: rows.count, by: max(1, columns)) {
      for first in stride(from: row, to: min(rows.count, row + columns), by: width) {
        let group = first..<min(row + columns, first + width, rows.count)
        let largest = group.reduce(Float(0)) { max($0, abs(rows[$1])) }
        let scale = largest / 127
        for index in group {
          let code = scale > 0 ? (rows[index] / scale).rounded(.toNearestOrEven) : 0
          errors[index] = code * scale - rows[index]
        }
      }
    }
    return errors
  }

  /// The square of such errors and that of the rows.
  ///
  /// - Parameters:
  ///   - rows: values.
  ///   - columns: of each row.
  ///   - width: columns that share a scale.
  /// - Returns: sums over all values.
  package static func squares(
    _ rows: [Float], columns: Int, width: Int
  ) -> (error: Double, value: Double) {
    func sum(_ values: [Float]) -> Double { values.reduce(0) { $0 + Double($1) * Double($1) } }
    return (sum(errors(rows, columns: columns, width: width)), sum(rows))
  }
}
