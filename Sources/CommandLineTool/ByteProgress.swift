import Foundation
import Synchronization
import Tensors

/// Shows how much of some bytes is done, with speed and remaining time; from any thread.
final class ByteProgress: Sendable {
  private static let interval = Duration.milliseconds(100)

  private let console: Console
  private let start = ContinuousClock.now
  private let last = Mutex<ContinuousClock.Instant?>(nil)

  init(_ console: Console) { self.console = console }

  func show(_ done: Int, of total: Int) {
    guard console.showsProgress else { return }
    let now = ContinuousClock.now
    last.withLock { last in
      if let last, now - last < Self.interval { return }
      last = now
      let seconds = max(1e-3, (now - start) / .seconds(1))
      let left = Double(total - done) * seconds / Double(max(1, done))
      console.progress(
        "\(100 * done / max(1, total)) %  \(formattedBytes(done)) of \(formattedBytes(total))  "
          + "\(formattedBytes(Int(Double(done) / seconds)))/s  ETA \(formattedDuration(left))")
    }
  }
}
