/// Recognizes tensor names by all naming schemes at once, component by component from the
/// end, since tools put prefixes in front.
///
/// Files may list tens of thousands of names: all rules share one tree, so that a name costs a few
/// comparisons however many schemes there are, and no memory.
struct NameMatcher: Sendable {
  /// Longest name that is looked at, in bytes; none of ours has half of it.
  private static let maximumNameLength = 512
  /// Maximum number of digits of a number: no overflow, and no checkpoint has more blocks.
  private static let maximumDigits = 9

  /// One naming of one network.
  struct Scheme: Sendable {
    /// Index in the catalogue.
    let network: Int
    let table: NameTable
  }

  /// A rule whose foreign pattern is the end of a name.
  struct Match {
    /// Indices in `schemes` and in the rules of its table.
    let scheme: Int
    let rule: Int
    /// Bytes of the name in front of the pattern, the dot included.
    let prefixLength: Int
    let numbers: BoundNumbers
  }

  /// The numbers in place of a pattern's placeholders (two at most), the last one first.
  struct BoundNumbers {
    private(set) var first = 0
    private(set) var second = 0
    private var count = 0

    func appending(_ number: Int) -> BoundNumbers {
      var result = self
      if count == 0 { result.first = number } else { result.second = number }
      result.count += 1
      return result
    }
  }

  private struct Node {
    var literals: [(text: [UInt8], child: Int)] = []
    var number: Int?
    /// Rules whose pattern begins with the component that leads here.
    var rules: [(scheme: Int, rule: Int)] = []
  }

  let schemes: [Scheme]
  private var nodes = [Node()]
  private var longestLiteral = maximumDigits

  init(_ schemes: [Scheme]) {
    self.schemes = schemes
    for (index, scheme) in schemes.enumerated() {
      for (rule, pattern) in scheme.table.rules.map(\.foreign).enumerated() {
        var node = 0
        for component in pattern.reversed() { node = child(of: node, for: component) }
        nodes[node].rules.append((index, rule))
      }
    }
  }

  private mutating func child(of node: Int, for component: String) -> Int {
    if component.hasPrefix("{") {
      if let child = nodes[node].number { return child }
      nodes[node].number = nodes.count
    } else {
      let text = Array(component.utf8)
      if let known = nodes[node].literals.first(where: { $0.text == text }) { return known.child }
      nodes[node].literals.append((text, nodes.count))
      longestLiteral = max(longestLiteral, text.count)
    }
    nodes.append(Node())
    return nodes.count - 1
  }

  /// Calls `body` for every rule that fits the end of a name.
  func forEachMatch(of name: String, _ body: (Match) -> Void) {
    guard name.utf8.count <= Self.maximumNameLength else { return }
    var name = name
    name.withUTF8 { walk($0, before: $0.count, from: 0, BoundNumbers(), body) }
  }

  /// Follows the component that ends before `end`; as deep as the longest pattern at most.
  private func walk(
    _ name: UnsafeBufferPointer<UInt8>, before end: Int, from node: Int, _ numbers: BoundNumbers,
    _ body: (Match) -> Void
  ) {
    var start = end
    while start > 0, name[start - 1] != UInt8(ascii: ".") {
      start -= 1
      if end - start > longestLiteral { return }
    }
    func follow(_ child: Int, _ numbers: BoundNumbers) {
      for (scheme, rule) in nodes[child].rules {
        body(Match(scheme: scheme, rule: rule, prefixLength: start, numbers: numbers))
      }
      if start > 0 { walk(name, before: start - 1, from: child, numbers, body) }
    }
    let component = UnsafeBufferPointer(rebasing: name[start..<end])
    for (text, child) in nodes[node].literals
    where text.count == component.count && component.elementsEqual(text) {
      follow(child, numbers)
    }
    if let child = nodes[node].number, let number = Self.number(component) {
      follow(child, numbers.appending(number))
    }
  }

  /// The number that a component spells in the only way that is written: digits, no leading zero.
  private static func number(_ component: UnsafeBufferPointer<UInt8>) -> Int? {
    guard let first = component.first, component.count <= maximumDigits,
      first != UInt8(ascii: "0") || component.count == 1
    else { return nil }
    var number = 0
    for byte in component {
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
      number = number * 10 + Int(byte - UInt8(ascii: "0"))
    }
    return number
  }
}
