/// Scales of the elements of a weight, as fp8 checkpoints have them.
package enum WeightScale: Sendable, Equatable {
  /// None.
  case one
  /// One for every element.
  case all(Float)
  /// One for each row.
  case rows([Float])

  /// The scale of a row.
  package func factor(of row: Int) -> Float {
    switch self {
    case .one: 1
    case .all(let factor): factor
    case .rows(let factors): factors[row]
    }
  }

  /// The scales of some rows.
  package func rows(_ range: Range<Int>) -> WeightScale {
    guard case .rows(let factors) = self else { return self }
    return .rows(Array(factors[range]))
  }

  /// The scales of rows that have their own, one after the other.
  ///
  /// - Parameter parts: scales, and of how many rows.
  /// - Returns: one for all where they are the same.
  package static func joined(_ parts: [(scale: WeightScale, rows: Int)]) -> WeightScale {
    guard let first = parts.first?.scale else { return .one }
    if parts.count == 1 { return first }
    if case .rows = first {} else if parts.allSatisfy({ $0.scale == first }) { return first }
    return .rows(parts.flatMap { part in (0..<part.rows).map(part.scale.factor) })
  }

  /// Multiplies consecutive elements by their rows' scales.
  ///
  /// - Parameters:
  ///   - values: the elements.
  ///   - count: how many.
  ///   - first: the first one's place in the weight.
  ///   - columns: elements of a row.
  package func apply(
    to values: UnsafeMutablePointer<Float>, count: Int, from first: Int, columns: Int
  ) {
    guard self != .one, columns > 0 else { return }
    var start = 0
    while start < count {
      let row = (first + start) / columns
      let end = min(count, (row + 1) * columns - first)
      let factor = factor(of: row)
      for index in start..<end { values[index] *= factor }
      start = end
    }
  }
}
