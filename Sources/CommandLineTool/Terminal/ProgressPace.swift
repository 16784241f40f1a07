/// When a line about long work is due where lines stay: the first after some seconds, then at the
/// pace of a person who looks into a log.
struct ProgressPace {
  /// Seconds before the first line: short work needs none.
  private static let firstSeconds = 5.0
  /// Seconds between two lines, at least.
  private static let shortestSeconds = 30.0
  /// Seconds after which a line is due however little has been done.
  private static let longestSeconds = 60.0
  /// What is worth a line before that.
  private static let share = 0.1

  private var last: (seconds: Double, share: Double)?

  /// Decides whether a line is due; if so, it counts as printed.
  ///
  /// - Parameters:
  ///   - seconds: since the work began.
  ///   - share: what is done of it, 0 to 1.
  /// - Returns: true if it is.
  mutating func isDue(at seconds: Double, _ share: Double) -> Bool {
    if let last {
      let passed = seconds - last.seconds
      guard passed >= Self.shortestSeconds else { return false }
      guard share - last.share >= Self.share || passed >= Self.longestSeconds else { return false }
    } else {
      guard seconds >= Self.firstSeconds else { return false }
    }
    last = (seconds, share)
    return true
  }
}
