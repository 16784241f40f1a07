extension NameRule {
  /// Which of our rows a stored tensor holds, and in which order. Of a vector, elements are its
  /// rows.
  package enum RowOrder: Sendable, Equatable {
    case asStored
    /// The second half of the rows comes first.
    case halvesSwapped
    /// The stored tensor is one of several that are ours, one after the other: which of them, and
    /// in what proportion they share our rows.
    case part(Int, shares: [Int])
  }

  /// Rules for a tensor of ours that files store as several.
  ///
  /// - Parameters:
  ///   - canonical: our pattern.
  ///   - foreign: the patterns of the stored tensors, in the order of our rows.
  ///   - shares: in what proportion they share our rows; nil where they have equally many.
  /// - Returns: one rule for each stored tensor.
  package static func parts(
    _ canonical: String, _ foreign: [String], shares: [Int]? = nil
  ) -> [NameRule] {
    let shares = shares ?? foreign.map { _ in 1 }
    return foreign.enumerated().map { NameRule(canonical, $1, .part($0, shares: shares)) }
  }
}

extension NameRule.RowOrder {
  /// Our rows that the stored tensor holds, in its order.
  ///
  /// - Parameter count: the number of our rows.
  /// - Returns: ranges of our rows; nil if so many cannot be divided like that.
  package func rows(of count: Int) -> [Range<Int>]? {
    switch self {
    case .asStored: return [0..<count]
    case .halvesSwapped:
      return count.isMultiple(of: 2) ? [count / 2..<count, 0..<count / 2] : nil
    case .part(let index, let shares):
      let sum = shares.reduce(0, +)
      guard shares.indices.contains(index), sum > 0, count.isMultiple(of: sum) else { return nil }
      let first = count / sum * shares[..<index].reduce(0, +)
      return [first..<first + count / sum * shares[index]]
    }
  }

  /// The number of our rows, judged by that of the stored tensor; nil if it is none that a part can
  /// have.
  func count(ofStored rows: Int) -> Int? {
    guard case .part(let index, let shares) = self else { return rows }
    guard shares.indices.contains(index), shares[index] > 0, rows.isMultiple(of: shares[index])
    else { return nil }
    let (count, overflow) = (rows / shares[index])
      .multipliedReportingOverflow(by: shares.reduce(0, +))
    return overflow ? nil : count
  }

  /// For each stored tensor that ours consists of, which rows it has.
  var allParts: [NameRule.RowOrder] {
    guard case .part(_, let shares) = self else { return [self] }
    return shares.indices.map { .part($0, shares: shares) }
  }

  /// Number of stored tensors that ours consists of.
  package var partCount: Int { allParts.count }

  /// Which of the stored tensors that ours consists of it is.
  var partIndex: Int {
    if case .part(let index, _) = self { index } else { 0 }
  }

  /// Whether a stored tensor of another order can be beside it in the same tensor of ours.
  func hasForm(of other: NameRule.RowOrder) -> Bool {
    switch (self, other) {
    case (.part(_, let shares), .part(_, let others)): shares == others
    default: self == other
    }
  }

  /// How several stored tensors share our rows, in words; nil where it is a single one.
  var sharing: String? {
    guard case .part(_, let shares) = self else { return nil }
    return shares.map { "\($0)" }.joined(separator: ":")
  }
}
