import Foundation
import Tensors

/// Shows how much of a model is converted, with speed and remaining time: a bar on a terminal, a
/// line now and then elsewhere.
final class ConversionProgress {
  private static let interval = Duration.milliseconds(100)
  private static let lineInterval = Duration.seconds(30)

  private let console: Console
  private let start = ContinuousClock.now
  private var last: ContinuousClock.Instant

  init(_ console: Console) {
    self.console = console
    last = start
  }

  /// Seconds since the work began.
  var seconds: Double { max(1e-3, (ContinuousClock.now - start) / .seconds(1)) }

  /// Shows a state.
  ///
  /// - Parameters:
  ///   - done: bytes of the input that are converted.
  ///   - total: bytes of the whole input.
  func show(_ done: Int, of total: Int) {
    let now = ContinuousClock.now
    if done < total, now - last < (console.showsProgress ? Self.interval : Self.lineInterval) {
      return
    }
    last = now
    guard done < total else { return console.progress("waiting for the disk") }
    let rate = Double(done) / seconds
    let left = Double(total - done) / max(1, rate)
    let share = Double(done) / Double(max(1, total))
    let numbers =
      "\(Int(100 * share)) %  \(formattedBytes(done)) of \(formattedBytes(total))  "
      + String(format: "%.0f MB/s", rate / 1e6) + "  ETA \(formattedDuration(left))"
    guard console.showsProgress else { return console.line(numbers) }
    let width = 24
    let filled = Int(Double(width) * share)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    console.progress("\(bar) \(numbers)")
  }
}
