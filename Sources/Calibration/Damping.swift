/// What is added to the diagonal of second moments, relative to its mean: how much other inputs may
/// differ from the sample.
///
/// The fewer rows there are for each column, the more. Targets fit the sample more closely than
/// rounding alone, and need ten times as much. On the shipped model (Q2_K) with 64 points (40 and
/// 13 rows for a column) errors are least around 0.1 to 0.2, with 24 points around 0.3 to 0.5.
enum Damping {
  /// Rows for a column with which as much as the mean itself is added.
  private static let unit = (withTargets: 4.0, without: 0.4)
  private static let range = (withTargets: 0.05...1, without: 0.005...1)

  /// - Parameters:
  ///   - rows: that were added up.
  ///   - columns: of each.
  ///   - hasTargets: whether weights are moved for them, too.
  /// - Returns: a factor of the diagonal's mean.
  static func relative(rows: Int, columns: Int, hasTargets: Bool) -> Double {
    let (unit, range) =
      hasTargets ? (unit.withTargets, range.withTargets) : (unit.without, range.without)
    let wanted = unit * Double(columns) / Double(max(1, rows))
    return min(range.upperBound, max(range.lowerBound, wanted))
  }
}
