/// One tensor name, or a family of them, in our naming and in a checkpoint's own.
///
/// Patterns are dot-separated. `{i}` and `{j}` stand for a number; on the foreign side `{-i}`
/// counts from the other end and `{i-1}` is one less.
package struct NameRule: Sendable {
  /// Our pattern by its components.
  package let canonical: [String]
  let foreign: [String]
  let rowOrder: RowOrder
  /// The foreign pattern's placeholders, the last one first.
  private let placeholders: [String]

  package init(_ canonical: String, _ foreign: String, _ rowOrder: RowOrder = .asStored) {
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

  /// What stands in place of our pattern's placeholders; nil for a name that does not fit.
  func numbers(in name: [Substring]) -> [String: Int]? {
    guard canonical.count == name.count else { return nil }
    var numbers: [String: Int] = [:]
    for (pattern, component) in zip(canonical, name) {
      guard pattern.hasPrefix("{") else {
        if pattern != component { return nil }
        continue
      }
      guard let number = Int(component) else { return nil }
      numbers[pattern] = number
    }
    return numbers
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
package struct NameTable: Sendable {
  /// The scheme's name for messages, e.g. `diffusers`.
  package let scheme: String
  package let rules: [NameRule]

  /// A table for our own names.
  package init(scheme: String, canonical: [String]) {
    self.init(scheme: scheme, rules: canonical.map { NameRule($0, $0) })
  }

  package init(scheme: String, rules: [NameRule]) {
    self.scheme = scheme
    self.rules = rules
  }

  /// The stored tensors that one of ours consists of.
  ///
  /// - Parameters:
  ///   - canonical: our name.
  ///   - levels: what `{-i}` counts down from.
  ///   - form: which rows one of them has, where the scheme may store the tensor in several forms.
  /// - Returns: their names, and which rows they have, in the order of our rows; none if the scheme
  ///   has no such tensor.
  package func foreign(
    of canonical: String, levels: Int, as form: NameRule.RowOrder? = nil
  ) -> [(name: String, rowOrder: NameRule.RowOrder)] {
    let components = canonical.split(separator: ".")
    var found: [(name: String, rowOrder: NameRule.RowOrder)] = []
    for rule in rules {
      // The first rule that fits counts, and those for the other parts of what it is a part of.
      guard (form ?? found.first?.rowOrder).map(rule.rowOrder.hasForm) ?? true,
        !found.contains(where: { $0.rowOrder == rule.rowOrder }),
        var numbers = rule.numbers(in: components)
      else { continue }
      if let i = numbers["{i}"] {
        numbers["{-i}"] = levels - 1 - i
        numbers["{i-1}"] = i - 1
      }
      let name = rule.foreign.map { part in numbers[part].map { "\($0)" } ?? part }
      found.append((name.joined(separator: "."), rule.rowOrder))
      if case .part = rule.rowOrder { continue }
      break
    }
    return found.sorted { $0.rowOrder.partIndex < $1.rowOrder.partIndex }
  }

  /// Whether a tensor of ours may be stored as several.
  var hasParts: Bool { rules.contains { $0.rowOrder.sharing != nil } }

  /// One more than the highest number of ours that the scheme counts from the other end; bounded,
  /// so that a stray number cannot make work.
  func levelCount(of names: some Sequence<String>) -> Int {
    let rules = rules.filter(\.countsDown)
    guard !rules.isEmpty else { return 0 }
    let numbers = names.lazy.compactMap { name -> Int? in
      let components = name.split(separator: ".")
      return rules.lazy.compactMap { $0.numbers(in: components)?["{i}"] }.first
    }
    return min(64, (numbers.max() ?? -1) + 1)
  }
}
