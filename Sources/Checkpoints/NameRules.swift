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
  /// The foreign pattern's placeholders, the last one first.
  private let placeholders: [String]

  init(_ canonical: String, _ foreign: String, _ rowOrder: RowOrder = .asStored) {
    self.canonical = canonical.split(separator: ".").map(String.init)
    self.foreign = foreign.split(separator: ".").map(String.init)
    self.rowOrder = rowOrder
    placeholders = self.foreign.reversed().filter { $0.hasPrefix("{") }
  }

  /// Whether numbers count down from the number of levels.
  var countsDown: Bool { placeholders.contains("{-i}") }

  /// The number that stands for `{-i}`.
  func levelNumber(_ numbers: NameMatcher.BoundNumbers) -> Int? {
    placeholders.firstIndex(of: "{-i}").map { $0 == 0 ? numbers.first : numbers.second }
  }

  /// Our name for a stored one.
  ///
  /// - Parameters:
  ///   - numbers: what stands in place of the foreign pattern's placeholders.
  ///   - levels: what `{-i}` counts down from.
  /// - Returns: the name; nil if a number would be negative.
  func canonicalName(_ numbers: NameMatcher.BoundNumbers, levels: Int) -> String? {
    var name = ""
    for part in canonical {
      if !name.isEmpty { name += "." }
      guard part.hasPrefix("{") else {
        name += part
        continue
      }
      for (placeholder, number) in zip(placeholders, [numbers.first, numbers.second]) {
        let value: Int
        switch placeholder {
        case part: value = number
        case "{-i}" where part == "{i}": value = levels - 1 - number
        case "{i-1}" where part == "{i}": value = number + 1
        default: continue
        }
        guard value >= 0 else { return nil }
        name += "\(value)"
      }
    }
    return name
  }
}

/// All names of one part of a model in one naming scheme.
struct NameTable: Sendable {
  /// The scheme's name for messages, e.g. `diffusers`.
  let scheme: String
  let rules: [NameRule]

  /// A table for our own names.
  init(scheme: String, canonical: [String]) {
    self.init(scheme: scheme, rules: canonical.map { NameRule($0, $0) })
  }

  init(scheme: String, rules: [NameRule]) {
    self.scheme = scheme
    self.rules = rules
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
