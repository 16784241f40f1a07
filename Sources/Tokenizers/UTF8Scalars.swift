/// Steps over the scalars of valid UTF-8.
enum UTF8Scalars {
  /// Bytes of the scalar that starts with `byte`; 1 for a byte that starts none.
  static func length(startingWith byte: UInt8) -> Int {
    switch byte {
    case 0xC0..<0xE0: 2
    case 0xE0..<0xF0: 3
    case 0xF0...: 4
    default: 1
    }
  }

  /// The first scalar of the text; nil if it is empty.
  static func first(of text: ArraySlice<UInt8>) -> Unicode.Scalar? {
    guard let byte = text.first else { return nil }
    return decode(text.prefix(length(startingWith: byte)))
  }

  /// The last scalar of the text; nil if it is empty.
  static func last(of text: ArraySlice<UInt8>) -> Unicode.Scalar? {
    var start = text.endIndex
    while start > text.startIndex {
      start -= 1
      if text[start] & 0xC0 != 0x80 { return decode(text[start...]) }
    }
    return nil
  }

  /// The scalar at a place of valid UTF-8 with its length in bytes; U+FFFD for any other byte.
  static func scalar(
    of text: ArraySlice<UInt8>, at index: Int
  ) -> (scalar: Unicode.Scalar, length: Int) {
    let first = text[index]
    if first < 0x80 { return (Unicode.Scalar(first), 1) }
    let length = length(startingWith: first)
    guard length > 1, length <= text.endIndex - index else { return ("\u{FFFD}", 1) }
    var value = UInt32(first) & (0xFF >> (UInt32(length) + 1))
    for offset in 1..<length {
      value = value << 6 | UInt32(text[index + offset]) & 0x3F
    }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
  }

  /// Bytes of the whitespace in front, in the sense of the Unicode property White_Space.
  static func leadingWhitespace(_ text: ArraySlice<UInt8>) -> Int {
    var rest = text
    while let scalar = first(of: rest), scalar.properties.isWhitespace {
      rest = rest.dropFirst(UTF8.width(scalar))
    }
    return text.count - rest.count
  }

  /// Bytes of the whitespace at the end.
  static func trailingWhitespace(_ text: ArraySlice<UInt8>) -> Int {
    var rest = text
    while let scalar = last(of: rest), scalar.properties.isWhitespace {
      rest = rest.dropLast(UTF8.width(scalar))
    }
    return text.count - rest.count
  }

  /// Every `pattern` in `text` replaced, from left to right, by `content`.
  static func replacing(
    _ pattern: [UInt8], with content: [UInt8], in text: ArraySlice<UInt8>
  ) -> [UInt8] {
    guard let head = pattern.first else { return Array(text) }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
      if text[index] == head, text[index...].starts(with: pattern) {
        result.append(contentsOf: content)
        index += pattern.count
      } else {
        result.append(text[index])
        index += 1
      }
    }
    return result
  }

  private static func decode(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
    String(decoding: bytes, as: UTF8.self).unicodeScalars.first
  }
}
