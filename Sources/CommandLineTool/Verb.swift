import ArgumentParser
import StrictJSON

/// The verb that arguments name, and what people are told who use it wrongly.
struct Verb {
  /// From the program's own command to the innermost one.
  private let path: [any ParsableCommand.Type]
  /// What stands where a verb is expected, but is not one.
  private let unknown: String?

  /// Finds the verb as the parser does: verbs come first.
  init(_ arguments: [String]) {
    var path: [any ParsableCommand.Type] = [RootCommand.self]
    var unknown: String?
    // `help VERB` tells about it.
    var rest = arguments.first == "help" ? arguments.dropFirst() : arguments[...]
    while let name = rest.popFirst(), !name.hasPrefix("-") {
      let verbs = path[path.count - 1].configuration.subcommands
      guard !verbs.isEmpty else { break }
      guard let verb = verbs.first(where: { $0.configuration.commandName == name }) else {
        unknown = name
        break
      }
      path.append(verb)
    }
    self.path = path
    self.unknown = unknown
  }

  /// The words that name it.
  private var name: String {
    path.compactMap { $0.configuration.commandName }.joined(separator: " ")
  }

  private var innermost: any ParsableCommand.Type { path[path.count - 1] }

  /// Refuses what is not a verb.
  ///
  /// - Throws: `ValidationError` with the verb that was meant and all that there are.
  func expectKnown() throws(ValidationError) {
    guard let unknown else { return }
    let verbs = innermost.configuration.subcommands.compactMap { $0.configuration.commandName }
    let suggestion = Spelling.nearest(to: unknown, in: verbs).map { " Did you mean '\($0)'?" }
    throw ValidationError(
      "unknown verb '\(unknown)'.\(suggestion ?? "") Verbs are \(verbs.joined(separator: ", "))")
  }

  /// How it is used, as the lines after an error.
  func usage(after error: any Error) -> String {
    // What the parser knows of the option at fault.
    let help = RootCommand.fullMessage(for: error, columns: .max >> 8)
      .split(separator: "\n").first { $0.hasPrefix("Help:") }
    return (help.map { $0 + "\n" } ?? "")
      + "Usage: \(RootCommand.usageString(for: innermost))\n"
      + "  See '\(name) --help' for more information.\n"
  }

  // MARK: Messages

  /// What is wrong, without usage; empty if it was told already.
  func message(for error: any Error) -> String {
    let message = RootCommand.message(for: error)
    // The parser's own proposals may be as far away as their whole length.
    guard let match = message.prefixMatch(of: /Unknown option '(-[^']*)'/) else {
      return Self.onOneLine(message)
    }
    let option = String(match.output.1)
    let nearest = option.hasPrefix("--") ? Spelling.nearest(to: option, in: options) : nil
    return "unknown option '\(option)'" + (nearest.map { ". Did you mean '\($0)'?" } ?? "")
  }

  /// A list of the parser's as one line.
  private static func onOneLine(_ message: String) -> String {
    message.replacing(":\n  - ", with: ": ").replacing("\n  - ", with: ", ")
      .replacing(/\n +/, with: " ")
  }

  /// All long options, under all their names.
  private var options: [String] {
    let description = try? JSONValue(parsing: innermost._dumpHelp())
    let arguments = description?["command"]?["arguments"]?.arrayValue ?? []
    return arguments.flatMap { $0["names"]?.arrayValue ?? [] }.compactMap { name in
      guard name["kind"]?.stringValue == "long", let text = name["name"]?.stringValue else {
        return nil
      }
      return "--" + text
    }
  }
}

/// What people may have meant.
enum Spelling {
  /// The word that differs least, if one is near: a third of the letters may be wrong, or the end
  /// may be missing.
  static func nearest(to word: String, in words: [String]) -> String? {
    let letters = Array(word.lowercased().drop { $0 == "-" })
    guard letters.count > 1 else { return nil }
    let candidates = words.compactMap { word -> (word: String, distance: Int)? in
      let other = Array(word.drop { $0 == "-" })
      if letters.count >= 3, other.starts(with: letters) { return (word, 0) }
      let distance = distance(letters, other)
      return distance <= max(1, letters.count / 3) ? (word, distance) : nil
    }
    return candidates.min { $0.distance < $1.distance }?.word
  }

  /// Letters to insert, remove or replace, or neighbours to swap.
  private static func distance(_ first: [Character], _ second: [Character]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...second.count)
    for row in 0..<first.count {
      var current = [row + 1]
      for column in 0..<second.count {
        let isSame = first[row] == second[column]
        var least = min(last[column] + (isSame ? 0 : 1), last[column + 1] + 1, current[column] + 1)
        if row > 0, column > 0, first[row] == second[column - 1], first[row - 1] == second[column] {
          least = min(least, beforeLast[column - 1] + 1)
        }
        current.append(least)
      }
      (beforeLast, last) = (last, current)
    }
    return last[second.count]
  }
}
