extension JSONScanner {
  /// Skips a string, checking it without keeping it.
  ///
  /// - Parameter limit: most bytes of the text that it may take.
  /// - Returns: its length in bytes of the text, quotes not counted.
  /// - Throws: `JSONError` if the string is malformed or longer.
  package mutating func skipString(limit: Int = .max) throws(JSONError) -> Int {
    let (range, _) = try scanString(limit: limit)
    guard UnsafeRawBufferPointer(rebasing: bytes[range]).isValidUTF8 else {
      throw JSONError(offset: range.lowerBound, fault: "string is not valid UTF-8")
    }
    return range.count
  }

  /// Reads a string, resolving escapes; the result is valid UTF-8 and exactly what was written.
  ///
  /// - Parameter limit: most bytes of the text that it may take.
  /// - Returns: the string.
  /// - Throws: `JSONError` if the string is malformed or longer.
  package mutating func readString(limit: Int = .max) throws(JSONError) -> String {
    let (range, hasEscapes) = try scanString(limit: limit)
    let text: String?
    if hasEscapes {
      text = try unescaped(range).withUnsafeBytes { String(validating: $0, as: UTF8.self) }
    } else {
      text = String(validating: bytes[range], as: UTF8.self)
    }
    guard let text else {
      throw JSONError(offset: range.lowerBound, fault: "string is not valid UTF-8")
    }
    return text
  }

  /// Skips a string and returns where its text lies, quotes not counted.
  ///
  /// Allocates nothing: texts of tens of megabytes may be nothing but escapes.
  private mutating func scanString(
    limit: Int
  ) throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
    skipBlanks()
    let quote = offset
    guard peek() == UInt8(ascii: "\"") else { throw error("expected a string") }
    offset += 1
    let start = offset
    var hasEscapes = false
    while let byte = peek(), byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw error("unescaped control byte in a string") }
      if byte == UInt8(ascii: "\\") {
        hasEscapes = true
        _ = try readEscape()
      } else {
        offset += 1
      }
    }
    guard peek() != nil else { throw error("text ends inside a string") }
    let range = start..<offset
    guard range.count <= limit else {
      throw JSONError(
        offset: quote, fault: "text of \(range.count) bytes, at most \(limit) are allowed here")
    }
    offset += 1
    return (range, hasEscapes)
  }

  /// The bytes that a text with escapes stands for.
  private func unescaped(_ range: Range<Int>) throws(JSONError) -> [UInt8] {
    var scanner = self
    scanner.offset = range.lowerBound
    var text: [UInt8] = []
    text.reserveCapacity(range.count)
    while scanner.offset < range.upperBound {
      let byte = bytes[scanner.offset]
      if byte == UInt8(ascii: "\\") {
        text.append(contentsOf: UTF8.encode(try scanner.readEscape()) ?? .init())
      } else {
        text.append(byte)
        scanner.offset += 1
      }
    }
    return text
  }

  private mutating func readEscape() throws(JSONError) -> Unicode.Scalar {
    offset += 1
    guard let byte = peek() else { throw error("text ends inside an escape") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try readUnicodeEscape()
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
      guard let byte = peek(), let digit = Self.hexDigit(byte) else {
        throw error("expected four hexadecimal digits after \\u")
      }
      code = code << 4 | digit
      offset += 1
    }
    return code
  }

  private static func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
    default: nil
    }
  }
}
