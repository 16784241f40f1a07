import Foundation
import Machine

/// Shows how much of some bytes is done, with speed and remaining time, from any thread.
final class ByteProgress: Sendable {
  private let console: Console
  private let display: ProgressDisplay
  private let title: String
  private let ending: String?

  /// - Parameters:
  ///   - console: where to show it.
  ///   - title: what is being done, where that is not plain from the command.
  ///   - ending: what goes on when all bytes are done, such as `waiting for the disk`.
  init(_ console: Console, title: String = "", ending: String? = nil) {
    self.console = console
    self.title = title.isEmpty ? "" : title.withoutControlCharacters + "  "
    self.ending = ending
    display = ProgressDisplay(console)
  }

  /// Seconds since the work began.
  var seconds: Double { display.seconds }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - done: bytes that are done.
  ///   - total: bytes in all.
  func show(_ done: Int, of total: Int) {
    guard done < total else {
      if let ending { console.progress(ending) }
      return
    }
    let share = Double(done) / Double(total)
    display.show(share, title: title) {
      let rate = Double(done) / seconds
      return "\(Int(100 * share)) %  \(formattedBytes(done)) of \(formattedBytes(total))  "
        + String(format: "%.0f MB/s", rate / 1e6)
        + "  ETA \(formattedDuration(Double(total - done) / max(1, rate)))"
    }
  }
}
