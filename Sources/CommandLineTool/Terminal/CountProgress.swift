/// Shows how many of some pieces of work are done, with the remaining time, from any thread.
final class CountProgress: Sendable {
  private let display: ProgressDisplay
  private let title: String

  /// - Parameters:
  ///   - console: where to show it.
  ///   - title: what is being done, where the pieces do not say it.
  init(_ console: Console, title: String = "") {
    display = ProgressDisplay(console)
    self.title = title.isEmpty ? "" : title + "  "
  }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - done: pieces that are done, also by earlier runs.
  ///   - total: pieces in all.
  ///   - computed: pieces that this run has done; the remaining time follows from them.
  ///   - text: what is happening.
  func show(_ done: Int, of total: Int, computed: Int, _ text: String) {
    display.show(Double(done) / Double(max(1, total)), title: title) {
      var line = "\(done)/\(total)  \(text.withoutControlCharacters)"
      if computed > 0 {
        line +=
          "  ETA " + formattedDuration(display.seconds / Double(computed) * Double(total - done))
      }
      return line
    }
  }
}
