import Foundation
import Synchronization
import Tensors

/// Shows how much of some bytes is done, with speed and remaining time, from any thread: a bar on a
/// terminal, a line now and then elsewhere.
final class ByteProgress: Sendable {
  private static let interval = Duration.milliseconds(100)
  private static let lineInterval = Duration.seconds(30)

  private let console: Console
  private let title: String
  private let ending: String?
  private let start = ContinuousClock.now
  private let last: Mutex<ContinuousClock.Instant>

  /// - Parameters:
  ///   - console: where to show it.
  ///   - title: what is being done, where that is not plain from the command.
  ///   - ending: what goes on when all bytes are done, such as `waiting for the disk`.
  init(_ console: Console, title: String = "", ending: String? = nil) {
    self.console = console
    self.title = title.isEmpty ? "" : title + "  "
    self.ending = ending
    last = Mutex(start)
  }

  /// Seconds since the work began.
  var seconds: Double { max(1e-3, (ContinuousClock.now - start) / .seconds(1)) }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - done: bytes that are done.
  ///   - total: bytes in all.
  func show(_ done: Int, of total: Int) {
    let isDone = done >= total
    let isDue = last.withLock { last in
      let now = ContinuousClock.now
      let interval = console.showsProgress ? Self.interval : Self.lineInterval
      guard isDone || now - last >= interval else { return false }
      last = now
      return true
    }
    guard isDue else { return }
    if isDone {
      if let ending { console.progress(ending) }
      return
    }
    let rate = Double(done) / seconds
    let share = Double(done) / Double(total)
    let numbers =
      "\(Int(100 * share)) %  \(formattedBytes(done)) of \(formattedBytes(total))  "
      + String(format: "%.0f MB/s", rate / 1e6)
      + "  ETA \(formattedDuration(Double(total - done) / max(1, rate)))"
    guard console.showsProgress else { return console.line(title + numbers) }
    console.progress(title + progressBar(share) + " " + numbers)
  }
}

/// A bar of 24 characters, filled up to `share` (0 to 1).
func progressBar(_ share: Double) -> String {
  let width = 24
  let filled = Int(Double(width) * min(1, max(0, share)))
  return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
}
