/// What is wrong with a JSON text, and where.
package struct JSONError: Error, Equatable, CustomStringConvertible {
  /// Byte offset of the fault in the text.
  package let offset: Int
  /// The fault, as a phrase for a one-line message.
  package let fault: String

  package init(offset: Int, fault: String) {
    self.offset = offset
    self.fault = fault
  }

  package var description: String { "JSON byte \(offset): \(fault)" }
}

/// Reads RFC 8259 JSON from untrusted bytes, value by value, without building a tree.
///
/// Stricter than Foundation's parser where that matters for model files: integers keep all 64
/// bits, strings must be valid UTF-8 without lone surrogates, nesting is bounded, and nothing is
/// repaired silently. Memory use is the caller's, so a header of 100 MB costs no tree.
///
/// - Important: the scanner does not own its bytes; they must outlive it.
package struct JSONScanner {
  /// Deepest nesting of arrays and objects that is followed.
  package static let maximumDepth = 128
  /// Longest key of an object, in bytes of the text.
  package static let maximumKeyLength = 1 << 16

  let bytes: UnsafeRawBufferPointer
  /// Offset of the next unread byte.
  package internal(set) var offset = 0
  private var depth = 0

  package init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  /// The kind of value that starts at the next byte that is not whitespace.
  package enum Kind: Sendable { case object, array, string, number, bool, null }

  package func error(_ fault: String) -> JSONError { JSONError(offset: offset, fault: fault) }

  // MARK: Structure

  /// The kind of the next value, without reading it.
  package mutating func peekKind() throws(JSONError) -> Kind {
    skipBlanks()
    guard offset < bytes.count else { throw error("text ends where a value is expected") }
    switch bytes[offset] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
    case UInt8(ascii: "n"): return .null
    default: throw error("expected a value, found byte \(bytes[offset])")
    }
  }

  /// Reads an object; `member` is called after each key and must read exactly one value.
  package mutating func readObject(
    _ member: (inout JSONScanner, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try readMembers { (scanner) throws(JSONError) in
      let key = try scanner.readString(limit: Self.maximumKeyLength)
      try scanner.expectColon()
      try member(&scanner, key)
    }
  }

  /// Reads the braces and commas of an object; `member` reads each key with its value.
  private mutating func readMembers(
    _ member: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    try open(UInt8(ascii: "{"), "an object")
    if take(UInt8(ascii: "}")) { return close() }
    while true {
      try member(&self)
      if take(UInt8(ascii: "}")) { return close() }
      guard take(UInt8(ascii: ",")) else { throw error("expected ',' or '}' in an object") }
    }
  }

  private mutating func expectColon() throws(JSONError) {
    guard take(UInt8(ascii: ":")) else { throw error("expected ':' after a key") }
  }

  /// Reads an array; `element` is called before each element and must read exactly one value.
  package mutating func readArray(
    _ element: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    try open(UInt8(ascii: "["), "an array")
    if take(UInt8(ascii: "]")) { return close() }
    while true {
      try element(&self)
      if take(UInt8(ascii: "]")) { return close() }
      guard take(UInt8(ascii: ",")) else { throw error("expected ',' or ']' in an array") }
    }
  }

  /// Skips one value of any kind.
  package mutating func skipValue() throws(JSONError) {
    switch try peekKind() {
    case .object:
      try readMembers { (scanner) throws(JSONError) in
        _ = try scanner.skipString(limit: Self.maximumKeyLength)
        try scanner.expectColon()
        try scanner.skipValue()
      }
    case .array:
      try readArray { (scanner) throws(JSONError) in try scanner.skipValue() }
    case .string: _ = try skipString()
    case .number: _ = try scanNumber()
    case .bool: _ = try readBool()
    case .null: try readNull()
    }
  }

  /// Checks that only whitespace is left.
  package mutating func expectEnd() throws(JSONError) {
    skipBlanks()
    guard offset == bytes.count else { throw error("unexpected text after the value") }
  }

  // MARK: Scalars

  package mutating func readNull() throws(JSONError) { try readWord("null") }

  package mutating func readBool() throws(JSONError) -> Bool {
    skipBlanks()
    if offset < bytes.count, bytes[offset] == UInt8(ascii: "t") {
      try readWord("true")
      return true
    }
    try readWord("false")
    return false
  }

  /// Reads a non-negative integer written without fraction or exponent.
  package mutating func readUInt64() throws(JSONError) -> UInt64 {
    let start = offset
    guard case .number = try peekKind() else { throw error("expected a non-negative integer") }
    let text = try readNumberText()
    guard let value = UInt64(text), !text.hasPrefix("-") else {
      throw JSONError(
        offset: start, fault: "expected a non-negative 64-bit integer, found \(text.prefix(40))")
    }
    return value
  }

  /// Reads a number and returns its exact text, already checked against the grammar.
  package mutating func readNumberText() throws(JSONError) -> String {
    // Only ASCII is accepted, so decoding cannot change anything.
    String(decoding: UnsafeRawBufferPointer(rebasing: bytes[try scanNumber()]), as: UTF8.self)
  }

  /// Skips a number and returns where it lies.
  private mutating func scanNumber() throws(JSONError) -> Range<Int> {
    skipBlanks()
    let start = offset
    if peek() == UInt8(ascii: "-") { offset += 1 }
    let integerStart = offset
    try readDigits()
    if offset - integerStart > 1, bytes[integerStart] == UInt8(ascii: "0") {
      throw error("number with a leading zero")
    }
    if peek() == UInt8(ascii: ".") {
      offset += 1
      try readDigits()
    }
    if peek() == UInt8(ascii: "e") || peek() == UInt8(ascii: "E") {
      offset += 1
      if peek() == UInt8(ascii: "+") || peek() == UInt8(ascii: "-") { offset += 1 }
      try readDigits()
    }
    return start..<offset
  }

  // MARK: Parts

  private mutating func readDigits() throws(JSONError) {
    let start = offset
    while let byte = peek(), byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { offset += 1 }
    guard offset > start else { throw error("expected a digit") }
  }

  private mutating func readWord(_ word: StaticString) throws(JSONError) {
    skipBlanks()
    let length = word.utf8CodeUnitCount
    guard offset + length <= bytes.count,
      bytes[offset..<offset + length].elementsEqual(
        UnsafeBufferPointer(start: word.utf8Start, count: length))
    else { throw error("expected '\(word)'") }
    offset += length
  }

  private mutating func open(_ byte: UInt8, _ what: String) throws(JSONError) {
    skipBlanks()
    guard peek() == byte else { throw error("expected \(what)") }
    offset += 1
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw error("nesting deeper than \(Self.maximumDepth)")
    }
  }

  private mutating func close() { depth -= 1 }

  func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipBlanks()
    guard peek() == byte else { return false }
    offset += 1
    return true
  }

  mutating func skipBlanks() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }
}
