import Foundation
import Synchronization

/// The last line of the terminal on stderr, which is replaced while work goes on. There is one, so
/// that whatever else is printed finds out what has to go first.
final class LiveLine: Sendable {
  static let shared = LiveLine(.error)

  let terminal: Terminal
  /// Columns of what the line shows; 0 when nothing does.
  private let shown = Mutex(0)

  init(_ terminal: Terminal) { self.terminal = terminal }

  /// Columns at this moment: the window may have another size each time.
  var columns: Int { Terminal.columns(of: STDERR_FILENO) ?? 80 }

  /// Shows a text instead of what the line shows, cut to the terminal's width.
  func show(_ text: String) {
    shown.withLock { shown in
      let columns = columns
      // The last column stays free: some terminals begin a new line when it is filled.
      let text = terminal.cut(text, to: max(1, columns - 1))
      Console.writeError(erasing(shown, columns) + text)
      shown = terminal.width(of: text)
    }
  }

  /// Writes text that stays, above the line; the line comes again with the next `show`.
  func printAbove(_ text: String) {
    shown.withLock { shown in
      Console.writeError(erasing(shown, columns) + text)
      shown = 0
    }
  }

  /// Removes what the line shows.
  func erase() {
    shown.withLock { shown in
      Console.writeError(erasing(shown, columns))
      shown = 0
    }
  }

  /// What removes a text of some columns.
  private func erasing(_ shown: Int, _ columns: Int) -> String {
    guard shown > 0 else { return "" }
    guard terminal.takesEscapes else {
      return "\r" + String(repeating: " ", count: min(shown, columns - 1)) + "\r"
    }
    // A window that became narrower has broken the text into several rows.
    let rows = (shown - 1) / columns
    return "\r" + (rows > 0 ? "\u{1B}[\(rows)A" : "") + "\u{1B}[J"
  }
}
