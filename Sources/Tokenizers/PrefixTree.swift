/// A set of byte strings with values, asked for the longest one at a place in a text.
struct PrefixTree: Sendable {
  /// Child nodes by parent node and byte.
  private var children: [UInt64: Int32] = [:]
  /// The value of each node; nil where no string ends.
  private var values: [Int32?] = [nil]
  /// Whether any string starts with a byte: settles most places of a text at once.
  private var starts = [Bool](repeating: false, count: 256)

  var isEmpty: Bool { values.count == 1 }

  /// Adds a string; returns false if it is empty or there already.
  ///
  /// - Throws: ``TokenizerError`` if there are too many bytes, each of which takes dozens here.
  mutating func insert(
    _ string: some Collection<UInt8>, value: Int32
  ) throws(TokenizerError) -> Bool {
    guard string.count <= TokenizerLimits.searchedBytes - values.count else {
      throw TokenizerError(
        "tokens to look for in a text have more than \(TokenizerLimits.searchedBytes) bytes")
    }
    var node: Int32 = 0
    for byte in string {
      if node == 0 { starts[Int(byte)] = true }
      let key = Self.key(node, byte)
      if let child = children[key] {
        node = child
      } else {
        let child = Int32(truncatingIfNeeded: values.count)
        values.append(nil)
        children[key] = child
        node = child
      }
    }
    guard node != 0, values[Int(node)] == nil else { return false }
    values[Int(node)] = value
    return true
  }

  /// The longest string that the text has at `start`.
  func longestMatch(
    in text: ArraySlice<UInt8>, at start: Int
  ) -> (length: Int, value: Int32)? {
    guard starts[Int(text[start])] else { return nil }
    var best: (length: Int, value: Int32)?
    var node: Int32 = 0
    var index = start
    while index < text.endIndex, let child = children[Self.key(node, text[index])] {
      node = child
      index += 1
      if let value = values[Int(node)] { best = (index - start, value) }
    }
    return best
  }

  private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte)
  }
}
