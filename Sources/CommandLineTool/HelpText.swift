import Foundation

/// Help as the parser makes it, wrapped for any width.
///
/// Paragraphs become as wide as there is room, wherever their lines ended; a line of options wraps
/// below its own text. Indented lines that are commands, JSON or rows of a table stay as they are,
/// so that they can be copied.
struct HelpText {
  /// The whole text.
  let text: String

  /// Columns to wrap for: what `COLUMNS` says, else the terminal's, else 80.
  static var columns: Int {
    let variable = ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) }
    return max(variable ?? Terminal.columns(of: STDOUT_FILENO) ?? 80, 20)
  }

  /// - Parameters:
  ///   - text: with every paragraph of the parser's on one line.
  ///   - columns: most characters of a line.
  init(_ text: String, columns: Int) {
    var result: [String] = []
    var paragraph: [String] = []
    var isContinued = false
    func endParagraph() {
      guard !paragraph.isEmpty else { return }
      result += Self.wrapped(paragraph.joined(separator: " "), indentation: 0, columns)
      paragraph = []
    }
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      let isIndented = line.hasPrefix(" ")
      // Headings such as "OPTIONS:" end a paragraph, and nothing is added to them.
      let isHeading = line.hasSuffix(":") && line.uppercased() == line
      guard line.isEmpty || isIndented || isHeading else {
        paragraph.append(line)
        continue
      }
      endParagraph()
      let isFixed = isContinued || Self.isFixed(line)
      isContinued = isFixed && line.hasSuffix("\\")
      result += isFixed || !isIndented ? [line] : Self.wrapped(line, columns)
    }
    endParagraph()
    self.text = result.joined(separator: "\n")
  }

  /// Whether an indented line is a command, JSON or a row of several columns.
  private static func isFixed(_ line: String) -> Bool {
    let content = line.drop { $0 == " " }
    return ["auraflow ", "{", "#"].contains { content.hasPrefix($0) }
      || gaps(in: content).count > 1
  }

  /// Where columns begin: after two blanks or more.
  private static func gaps(in content: Substring) -> [Int] {
    content.matches(of: /[^ ] {2,}/).map {
      content.distance(from: content.startIndex, to: $0.range.upperBound)
    }
  }

  /// Where the text after a term begins; nil if there is none.
  private static func gap(in content: Substring, _ indentation: Int) -> Int? {
    // Terms that just fit into the parser's column have a single blank after them.
    let column = 26 - indentation
    if content.hasPrefix("-") || content.hasPrefix("<"), column > 0, content.count > column {
      let start = content.index(content.startIndex, offsetBy: column)
      if content[content.index(before: start)] == " ", content[start] != "<", content[start] != " "
      {
        return column
      }
    }
    return gaps(in: content).first
  }

  /// An indented line: a term with its text, or the text of a term on the line before.
  private static func wrapped(_ line: String, _ columns: Int) -> [String] {
    let content = line.drop { $0 == " " }
    let indentation = line.count - content.count
    // Narrow terminals have no room for a column of text beside the terms.
    let isNarrow = columns < 60
    guard let gap = gap(in: content, indentation) else {
      // Text alone in the parser's column.
      let indentation = isNarrow && indentation >= 20 ? 6 : indentation
      return wrapped(String(content), indentation: indentation, columns)
    }
    var term = content.prefix(gap)
    let text = String(content.dropFirst(gap))
    guard isNarrow else {
      let lines = wrapped(text, indentation: indentation + gap, columns)
      let first = lines.first.map { $0.dropFirst(indentation + gap) } ?? ""
      return [String(repeating: " ", count: indentation) + term + first] + lines.dropFirst()
    }
    while term.last == " " { term.removeLast() }
    return [String(repeating: " ", count: indentation) + term]
      + wrapped(text, indentation: indentation + 4, columns)
  }

  /// Words on lines of some width; a word that is longer gets a line of its own.
  private static func wrapped(_ text: String, indentation: Int, _ columns: Int) -> [String] {
    let start = String(repeating: " ", count: indentation)
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ") {
      if !line.isEmpty, indentation + line.count + 1 + word.count > columns {
        lines.append(start + line)
        line = ""
      }
      line += line.isEmpty ? String(word) : " " + word
    }
    return lines + [start + line]
  }
}
