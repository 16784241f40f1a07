/// A set of byte strings with values, asked for those that a text has at a place.
struct PrefixTree: Sendable {
  /// Child nodes by parent node and byte, under an open-addressing index: parent and byte in the
  /// upper half, child in the lower; 0 is free, for no node has the root as its child.
  private var children: [UInt64]
  /// How far products are shifted to give a place in `children`.
  private var shift: Int
  /// Odd, and different in every process: no file can be made to collide.
  private let multiplier: UInt64
  /// The value of each node; negative where no string ends.
  private var values: [Int32] = [-1]
  /// Whether any string starts with a byte: settles most places of a text at once.
  private var starts = [Bool](repeating: false, count: 256)
  /// Most bytes of all strings.
  private let limit: Int

  /// An empty set.
  ///
  /// - Parameter limit: most bytes of all strings, below 16,777,216: each takes dozens here.
  init(limit: Int = TokenizerLimits.searchedBytes) {
    self.limit = limit
    children = Array(repeating: 0, count: 64)
    shift = 64 - 6
    var hasher = Hasher()
    hasher.combine(limit)
    multiplier = UInt64(bitPattern: Int64(hasher.finalize())) | 1
  }

  var isEmpty: Bool { values.count == 1 }

  /// Adds a string.
  ///
  /// - Parameters:
  ///   - string: the string.
  ///   - value: its value, not negative.
  /// - Returns: false if the string is empty or there already.
  /// - Throws: ``TokenizerError`` if there are too many bytes.
  mutating func insert(
    _ string: some Collection<UInt8>, value: Int32
  ) throws(TokenizerError) -> Bool {
    guard string.count <= limit - values.count else {
      throw TokenizerError("tokens to look for in a text have more than \(limit) bytes")
    }
    var node: UInt32 = 0
    for byte in string {
      if node == 0 { starts[Int(byte)] = true }
      let key = Self.key(node, byte)
      let slot = slot(of: key)
      if children[slot] != 0 {
        node = UInt32(truncatingIfNeeded: children[slot])
        continue
      }
      node = UInt32(truncatingIfNeeded: values.count)
      values.append(-1)
      children[slot] = UInt64(key) << 32 | UInt64(node)
      if 2 * values.count > children.count { grow() }
    }
    guard node != 0, values[Int(node)] < 0 else { return false }
    values[Int(node)] = value
    return true
  }

  /// The longest string that the text has at `start`.
  func longestMatch(
    in text: ArraySlice<UInt8>, at start: Int
  ) -> (length: Int, value: Int32)? {
    guard starts[Int(text[start])] else { return nil }
    var best: (length: Int, value: Int32)?
    forEachMatch(in: text, at: start) { best = ($0, $1) }
    return best
  }

  /// Calls `body` with the length and the value of every string at `start`, shortest first.
  @inline(__always)
  func forEachMatch(
    in text: ArraySlice<UInt8>, at start: Int, _ body: (_ length: Int, _ value: Int32) -> Void
  ) {
    var node: UInt32 = 0
    var index = start
    while index < text.endIndex {
      let child = children[slot(of: Self.key(node, text[index]))]
      guard child != 0 else { return }
      node = UInt32(truncatingIfNeeded: child)
      index += 1
      let value = values[Int(node)]
      if value >= 0 { body(index - start, value) }
    }
  }

  private static func key(_ node: UInt32, _ byte: UInt8) -> UInt32 { node << 8 | UInt32(byte) }

  /// The slot that holds a key, or the free slot where it belongs.
  @inline(__always)
  private func slot(of key: UInt32) -> Int {
    let mask = children.count - 1
    var slot = Int(truncatingIfNeeded: (UInt64(key) &* multiplier) >> UInt64(shift))
    while children[slot] != 0, children[slot] >> 32 != UInt64(key) { slot = (slot + 1) & mask }
    return slot
  }

  private mutating func grow() {
    let entries = children
    children = Array(repeating: 0, count: 2 * entries.count)
    shift -= 1
    for entry in entries where entry != 0 {
      children[slot(of: UInt32(truncatingIfNeeded: entry >> 32))] = entry
    }
  }
}
