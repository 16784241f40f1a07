import BlockFormats
import Foundation
import Synchronization

/// A user's rule: tensors whose name a pattern matches get a type.
package struct TypeRule: Sendable {
  enum Target: Sendable {
    case type(ElementType)
    /// The type that the input has.
    case stored
  }

  /// As it was written, or the beginning of it.
  package let text: String
  let pattern: String
  let target: Target

  /// Longest pattern, in bytes: nesting costs the parser's stack.
  private static let maximumLength = 1000

  /// Parses `REGEX=TYPE`; TYPE is that of a single tensor, or `keep`.
  ///
  /// - Throws: `ConversionError` if there is no type, or none of this name.
  package init(_ text: String) throws(ConversionError) {
    let shown = text.count > 80 ? text.prefix(80) + "..." : text
    guard let sign = text.lastIndex(of: "="), sign > text.startIndex else {
      throw .unusable("--rule '\(shown)' is not of the form REGEX=TYPE")
    }
    let name = text[text.index(after: sign)...].lowercased()
    pattern = String(text[..<sign])
    guard pattern.utf8.count <= Self.maximumLength else {
      throw .unusable("--rule: a pattern of \(pattern.utf8.count) bytes, at most 1000 are allowed")
    }
    if name == "keep" {
      target = .stored
    } else {
      let types = ElementType.conversionTargets
      guard let type = types.first(where: { $0.name.lowercased() == name }) else {
        throw .unusable(
          "--rule '\(shown)': '\(name.prefix(40))' is not one of "
            + types.map(\.name).joined(separator: ", ") + ", keep")
      }
      target = .type(type)
    }
    self.text = shown
  }

  /// Finds the rule that counts for each name: the last one that matches.
  ///
  /// - Parameters:
  ///   - rules: in the user's order.
  ///   - names: for each tensor the names under which it may be meant.
  /// - Returns: for each tensor the index of its rule, nil for none.
  /// - Throws: `ConversionError` for a pattern that is not a regular expression, that matches
  ///   nothing or that takes too long.
  static func matches(
    _ rules: [TypeRule], names: [[String]]
  ) throws(ConversionError) -> [Int?] {
    guard !rules.isEmpty else { return names.map { _ in nil } }
    let result = Mutex<Result<[Int?], ConversionError>?>(nil)
    let box = Box(result)
    let isDone = DispatchSemaphore(value: 0)
    // A regular expression can take longer than the universe is old; nothing can stop it but the
    // end of the program. And its parser may need a deep stack.
    let thread = Thread {
      let found = Result { () throws(ConversionError) in try search(rules, names) }
      box.result.withLock { $0 = found }
      isDone.signal()
    }
    thread.stackSize = 64 << 20
    thread.start()
    guard isDone.wait(timeout: .now() + .seconds(10)) == .success,
      let found = box.result.withLock({ $0 })
    else {
      throw .unusable("--rule: matching the patterns takes more than 10 s: write simpler ones")
    }
    return try found.get()
  }

  private final class Box: Sendable {
    let result: Mutex<Result<[Int?], ConversionError>?>

    init(_ result: consuming Mutex<Result<[Int?], ConversionError>?>) { self.result = result }
  }

  private static func search(
    _ rules: [TypeRule], _ names: [[String]]
  ) throws(ConversionError) -> [Int?] {
    var winners = [Int?](repeating: nil, count: names.count)
    for (index, rule) in rules.enumerated() {
      let expression = try rule.expression()
      var isUsed = false
      for (tensor, names) in names.enumerated()
      where names.contains(where: { (try? expression.firstMatch(in: $0)) != nil }) {
        winners[tensor] = index
        isUsed = true
      }
      guard isUsed else {
        let examples = names.compactMap(\.first).prefix(3) + (names.last?.prefix(1) ?? [])
        throw .unusable(
          "--rule '\(rule.text)' matches no tensor; their names are such as "
            + examples.joined(separator: ", ") + " (--dry-run lists all)")
      }
    }
    return winners
  }

  private func expression() throws(ConversionError) -> Regex<AnyRegexOutput> {
    do {
      return try Regex(pattern)
    } catch {
      throw .unusable("--rule '\(text)' does not begin with a regular expression: \(error)")
    }
  }
}
