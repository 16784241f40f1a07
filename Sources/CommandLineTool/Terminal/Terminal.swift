import Foundation

/// What stderr is, and what may be written to it.
struct Terminal: Sendable {
  /// How progress is shown.
  enum Style { case lines, liveLine }

  let style: Style
  /// Whether it obeys escape sequences.
  let takesEscapes: Bool
  /// Whether it shows more than ASCII.
  let showsUnicode: Bool

  /// The terminal of this process.
  static let error = Terminal(isTerminal: isatty(STDERR_FILENO) == 1) { name in
    getenv(name).map { String(cString: $0) }
  }

  /// - Parameters:
  ///   - isTerminal: whether stderr is one at all.
  ///   - environment: the value of a variable.
  init(isTerminal: Bool, environment: (String) -> String?) {
    func value(_ name: String) -> String? {
      environment(name).flatMap { $0.isEmpty ? nil : $0 }
    }
    let canMove = value("TERM").map { $0 != "dumb" } ?? false
    style = isTerminal && canMove ? .liveLine : .lines
    // NO_COLOR switches off all escape sequences, not only colours; spaces erase the line then.
    takesEscapes = isTerminal && canMove && value("NO_COLOR") == nil
    // The first that is set decides, as in the C library.
    let locale = value("LC_ALL") ?? value("LC_CTYPE") ?? value("LANG") ?? "C"
    let encoding = locale.lowercased()
    showsUnicode = encoding.contains("utf-8") || encoding.contains("utf8")
  }

  /// Columns of a terminal at this moment; nil if it is not a terminal or does not tell.
  static func columns(of descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// Columns that a text takes.
  func width(of text: String) -> Int {
    text.unicodeScalars.reduce(0) { $0 + width(of: $1) }
  }

  /// The beginning of a text that takes no more columns than there are.
  func cut(_ text: String, to columns: Int) -> String {
    var left = columns
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      left -= width(of: scalar)
      guard left >= 0 else { break }
      result.append(scalar)
    }
    return String(result)
  }

  /// Columns of a character, after Unicode's East Asian widths.
  private func width(of scalar: Unicode.Scalar) -> Int {
    if scalar.isASCII { return 1 }
    guard showsUnicode else { return UTF8.width(scalar) }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      return 2
    default:
      let category = scalar.properties.generalCategory
      return category == .nonspacingMark || category == .enclosingMark ? 0 : 1
    }
  }

  /// A bar, filled up to `share` (0 to 1).
  func bar(_ share: Double, columns: Int) -> String {
    let filled = Int(Double(columns) * min(1, max(0, share)))
    let (full, empty) = showsUnicode ? ("\u{2588}", "\u{2591}") : ("#", "-")
    return String(repeating: full, count: filled)
      + String(repeating: empty, count: max(0, columns - filled))
  }
}
