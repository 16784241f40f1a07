/// Shows which share of some work is done, with the remaining time, from any thread.
final class ShareProgress: Sendable {
  private let display: ProgressDisplay
  private let title: String

  /// What has to be done before the remaining time can be told.
  private static let leastShare = 0.01

  /// - Parameters:
  ///   - console: where to show it.
  ///   - title: what is being done.
  init(_ console: Console, title: String) {
    display = ProgressDisplay(console)
    self.title = title + "  "
  }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - share: what is done, also by earlier runs, 0 to 1.
  ///   - computed: what this run has done; the remaining time follows from it.
  ///   - text: what is happening.
  func show(_ share: Double, computed: Double, _ text: String) {
    display.show(min(1, max(0, share)), title: title) {
      var line = text.withoutControlCharacters
      if computed >= Self.leastShare {
        line += "  ETA " + formattedDuration(display.seconds / computed * max(0, 1 - share))
      }
      return line
    }
  }
}
