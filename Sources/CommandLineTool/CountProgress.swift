import Foundation
import Synchronization

/// Shows how many of some pieces of work are done, with the remaining time, from any thread: a bar on
/// a terminal, a line now and then elsewhere.
final class CountProgress: Sendable {
  private static let lineInterval = Duration.seconds(30)

  private let console: Console
  private let start = ContinuousClock.now
  private let lastLine: Mutex<ContinuousClock.Instant>

  init(_ console: Console) {
    self.console = console
    lastLine = Mutex(start)
  }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - done: pieces that are done, also by earlier runs.
  ///   - total: pieces in all.
  ///   - computed: pieces that this run has done; the remaining time follows from them.
  ///   - text: what is happening.
  func show(_ done: Int, of total: Int, computed: Int, _ text: String) {
    var line = "\(done)/\(total)  \(text.withoutControlCharacters)"
    if computed > 0 {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      line += "  ETA " + formattedDuration(seconds / Double(computed) * Double(total - done))
    }
    guard !console.showsProgress else {
      return console.progress(progressBar(Double(done) / Double(max(1, total))) + " " + line)
    }
    let isDue = lastLine.withLock { last in
      guard ContinuousClock.now - last >= Self.lineInterval else { return false }
      last = ContinuousClock.now
      return true
    }
    if isDue { console.line(line) }
  }
}
