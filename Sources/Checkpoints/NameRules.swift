/// One tensor name, or a family of them, in our naming and in a checkpoint's own.
///
/// Patterns are dot-separated. `{i}` and `{j}` stand for a number; on the foreign side `{-i}`
/// counts from the other end and `{i-1}` is one less.
struct NameRule: Sendable {
  /// How the stored rows become ours.
  enum RowOrder: Sendable {
    case asStored
    /// The second half of the rows comes first.
    case halvesSwapped
  }

  let canonical: [String]
  let foreign: [String]
  let rowOrder: RowOrder

  init(_ canonical: String, _ foreign: String, _ rowOrder: RowOrder = .asStored) {
    self.canonical = canonical.split(separator: ".").map(String.init)
    self.foreign = foreign.split(separator: ".").map(String.init)
    self.rowOrder = rowOrder
  }
}

/// The dot-separated components of a tensor name; none for a name that is too long to be ours.
func nameComponents(_ name: Substring) -> [Substring] {
  name.utf8.count > 512 ? [] : name.split(separator: ".", omittingEmptySubsequences: false)
}

/// All names of one part of a model in one naming scheme.
struct NameTable: Sendable {
  /// The scheme's name for messages, e.g. `diffusers`.
  let scheme: String
  let rules: [NameRule]
  /// Rules by the last two components of their foreign pattern, or by the last alone where the one
  /// before is a number or missing.
  private let rulesByEnding: [String: [NameRule]]

  /// A table for our own names.
  init(scheme: String, canonical: [String]) {
    self.init(scheme: scheme, rules: canonical.map { NameRule($0, $0) })
  }

  init(scheme: String, rules: [NameRule]) {
    self.scheme = scheme
    self.rules = rules
    rulesByEnding = Dictionary(grouping: rules) { rule in
      let ending = rule.foreign.suffix(2)
      guard let first = ending.first, ending.count == 2, !first.hasPrefix("{") else {
        return ending.last ?? ""
      }
      return ending.joined(separator: ".")
    }
  }

  /// The few rules whose foreign pattern may match the end of a name.
  func candidates(for components: [Substring]) -> [NameRule] {
    guard let last = components.last else { return [] }
    let both = components.suffix(2).joined(separator: ".")
    return (rulesByEnding[both] ?? []) + (both == last ? [] : rulesByEnding[String(last)] ?? [])
  }

  /// Where the rule's foreign pattern matches the end of a name.
  ///
  /// - Returns: how many leading components are left over as prefix, and the numbers bound.
  static func match(
    _ rule: NameRule, endOf components: [Substring]
  ) -> (prefixCount: Int, numbers: [String: Int])? {
    let pattern = rule.foreign
    let start = components.count - pattern.count
    guard start >= 0 else { return nil }
    var numbers: [String: Int] = [:]
    // From the end: the last components tell most rules apart.
    for index in pattern.indices.reversed() {
      let component = components[start + index]
      let expected = pattern[index]
      guard expected.hasPrefix("{") else {
        guard component == expected else { return nil }
        continue
      }
      // Nine digits: no overflow, and no checkpoint has more blocks.
      guard component.utf8.count <= 9, let number = Int(component), number >= 0,
        "\(number)" == component
      else { return nil }
      numbers[expected] = number
    }
    return (start, numbers)
  }

  /// Our name for a stored one.
  ///
  /// - Parameters:
  ///   - components: the stored name without prefix, split at dots.
  ///   - levels: what `{-i}` counts down from.
  /// - Returns: the name and how its rows are ordered; nil for a name of no rule.
  func canonicalName(
    of components: [Substring], levels: Int
  ) -> (name: String, rowOrder: NameRule.RowOrder)? {
    for rule in candidates(for: components) {
      guard let match = Self.match(rule, endOf: components), match.prefixCount == 0 else {
        continue
      }
      var numbers: [String: Int] = [:]
      for (placeholder, number) in match.numbers {
        switch placeholder {
        case "{-i}": numbers["{i}"] = levels - 1 - number
        case "{i-1}": numbers["{i}"] = number + 1
        default: numbers[placeholder] = number
        }
      }
      guard numbers.values.allSatisfy({ $0 >= 0 }) else { return nil }
      let name = rule.canonical.map { part in numbers[part].map { "\($0)" } ?? part }
      return (name.joined(separator: "."), rule.rowOrder)
    }
    return nil
  }

  /// The stored name for one of ours, for messages; nil if the scheme has no such tensor.
  func foreignName(of canonical: String, levels: Int) -> String? {
    let components = canonical.split(separator: ".")
    for rule in rules where rule.canonical.count == components.count {
      var numbers: [String: Int] = [:]
      let matches = zip(rule.canonical, components).allSatisfy { pattern, component in
        guard pattern.hasPrefix("{") else { return pattern == component }
        numbers[pattern] = Int(component)
        return numbers[pattern] != nil
      }
      guard matches else { continue }
      if let i = numbers["{i}"] {
        numbers["{-i}"] = levels - 1 - i
        numbers["{i-1}"] = i - 1
      }
      let name = rule.foreign.map { part in numbers[part].map { "\($0)" } ?? part }
      return name.joined(separator: ".")
    }
    return nil
  }
}
