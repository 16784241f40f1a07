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

  private let bytes: UnsafeRawBufferPointer
  /// Offset of the next unread byte.
  package private(set) var offset = 0
  private var depth = 0

  package init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  /// The kind of value that starts at the next non-blank byte.
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
    try open(UInt8(ascii: "{"), "an object")
    if take(UInt8(ascii: "}")) { return close() }
    while true {
      skipBlanks()
      let key = try readString(limit: Self.maximumKeyLength)
      guard take(UInt8(ascii: ":")) else { throw error("expected ':' after a key") }
      try member(&self, key)
      if take(UInt8(ascii: "}")) { return close() }
      guard take(UInt8(ascii: ",")) else { throw error("expected ',' or '}' in an object") }
    }
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

  /// Reads one value of any kind and drops it.
  package mutating func skipValue() throws(JSONError) {
    switch try peekKind() {
    case .object:
      try readObject { (scanner, _) throws(JSONError) in try scanner.skipValue() }
    case .array:
      try readArray { (scanner) throws(JSONError) in try scanner.skipValue() }
    case .string: _ = try skipString()
    case .number: _ = try readNumberText()
    case .bool: _ = try readBool()
    case .null: try readNull()
    }
  }

  /// Checks that only blanks are left.
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
    // Only ASCII was accepted above, so decoding cannot change anything.
    return String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<offset]), as: UTF8.self)
  }

  /// Moves over a string and checks it, without keeping it.
  ///
  /// - Returns: its length in bytes of the text, quotes not counted.
  package mutating func skipString() throws(JSONError) -> Int {
    skipBlanks()
    guard peek() == UInt8(ascii: "\"") else { throw error("expected a string") }
    offset += 1
    let start = offset
    while let byte = peek(), byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw error("unescaped control byte in a string") }
      if byte == UInt8(ascii: "\\") {
        var scratch: [UInt8] = []
        try readEscape(into: &scratch)
      } else {
        offset += 1
      }
    }
    guard peek() != nil else { throw error("text ends inside a string") }
    guard UnsafeRawBufferPointer(rebasing: bytes[start..<offset]).isValidUTF8 else {
      throw JSONError(offset: start, fault: "string is not valid UTF-8")
    }
    offset += 1
    return offset - 1 - start
  }

  /// Reads a string, resolving escapes; the result is valid UTF-8 and exactly what was written.
  ///
  /// - Parameter limit: most bytes of the text that it may take.
  /// - Returns: the string.
  /// - Throws: `JSONError` if there is no sound string of this length.
  package mutating func readString(limit: Int = .max) throws(JSONError) -> String {
    skipBlanks()
    if limit < .max {
      var ahead = self
      let length = try ahead.skipString()
      guard length <= limit else {
        throw error("text of \(length) bytes, at most \(limit) are allowed here")
      }
    }
    guard peek() == UInt8(ascii: "\"") else { throw error("expected a string") }
    offset += 1
    let start = offset
    while let byte = peek(), byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      offset += 1
    }
    if peek() == UInt8(ascii: "\"") {
      let text = try validated(bytes[start..<offset], at: start)
      offset += 1
      return text
    }
    var unescaped = [UInt8](bytes[start..<offset])
    while true {
      guard let byte = peek() else { throw error("text ends inside a string") }
      switch byte {
      case UInt8(ascii: "\""):
        let text: String? = unescaped.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
        guard let text else { throw JSONError(offset: start, fault: "string is not valid UTF-8") }
        offset += 1
        return text
      case UInt8(ascii: "\\"): try readEscape(into: &unescaped)
      case 0..<0x20: throw error("unescaped control byte in a string")
      default:
        unescaped.append(byte)
        offset += 1
      }
    }
  }

  // MARK: Parts

  private func validated(
    _ slice: Slice<UnsafeRawBufferPointer>, at start: Int
  ) throws(JSONError) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw JSONError(offset: start, fault: "string is not valid UTF-8")
    }
    return text
  }

  private mutating func readEscape(into text: inout [UInt8]) throws(JSONError) {
    offset += 1
    guard let byte = peek() else { throw error("text ends inside an escape") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"): text.append(contentsOf: String(try readUnicodeEscape()).utf8)
    default: throw error("unknown escape in a string")
    }
  }

  private mutating func readUnicodeEscape() throws(JSONError) -> Unicode.Scalar {
    var code = try readFourHexDigits()
    if (0xD800..<0xDC00).contains(code) {
      guard peek() == UInt8(ascii: "\\") else { throw error("lone surrogate in a string") }
      offset += 1
      guard peek() == UInt8(ascii: "u") else { throw error("lone surrogate in a string") }
      offset += 1
      let low = try readFourHexDigits()
      guard (0xDC00..<0xE000).contains(low) else { throw error("lone surrogate in a string") }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw error("lone surrogate in a string") }
    return scalar
  }

  private mutating func readFourHexDigits() throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("expected four hexadecimal digits after \\u")
      }
      code = code << 4 | UInt32(digit)
      offset += 1
    }
    return code
  }

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

  private func peek() -> UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipBlanks()
    guard peek() == byte else { return false }
    offset += 1
    return true
  }

  private mutating func skipBlanks() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }
}
