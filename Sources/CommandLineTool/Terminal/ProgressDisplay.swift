import Synchronization

/// Shows the progress of long work, from any thread: a bar on a terminal, a line now and then
/// elsewhere. All long work shows it with this.
final class ProgressDisplay: Sendable {
  private static let liveSeconds = 0.1
  private static let barColumns = 24
  private static let leastBarColumns = 8

  private struct State {
    var pace = ProgressPace()
    var lastShown = -Double.infinity
  }

  private let console: Console
  private let start = ContinuousClock.now
  private let state = Mutex(State())

  /// The work begins.
  init(_ console: Console) { self.console = console }

  /// Seconds since the work began.
  var seconds: Double { max(1e-3, (ContinuousClock.now - start) / .seconds(1)) }

  /// Shows a state, if it is time to.
  ///
  /// - Parameters:
  ///   - share: what is done, 0 to 1.
  ///   - title: what comes before the bar.
  ///   - isNew: whether a new part of the work begins, which a bar should show at once.
  ///   - text: what comes after the bar.
  func show(
    _ share: Double, title: String = "", isNew: Bool = false, _ text: () -> String
  ) {
    let isLive = console.showsProgress
    let isDue = state.withLock { state in
      let seconds = seconds
      guard isLive else { return state.pace.isDue(at: seconds, share) }
      guard isNew || seconds - state.lastShown >= Self.liveSeconds else { return false }
      state.lastShown = seconds
      return true
    }
    guard isDue else { return }
    let text = text()
    guard isLive else { return console.line(title + text) }
    let line = LiveLine.shared
    // A narrow window keeps the numbers and loses the bar.
    let room = line.columns - 2 - line.terminal.width(of: title + text)
    let columns = room < Self.leastBarColumns ? 0 : min(Self.barColumns, room)
    let bar = line.terminal.bar(share, columns: columns)
    console.progress(title + (bar.isEmpty ? "" : bar + " ") + text)
  }
}
