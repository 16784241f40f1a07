import StrictJSON
import Testing

/// A malformed text and what the message must say about it.
struct MalformedText: Sendable, CustomTestStringConvertible {
  let bytes: [UInt8]
  let fault: String
  let offset: Int

  init(_ text: String, _ fault: String, at offset: Int) {
    self.init(bytes: Array(text.utf8), fault, at: offset)
  }

  init(bytes: [UInt8], _ fault: String, at offset: Int) {
    self.bytes = bytes
    self.fault = fault
    self.offset = offset
  }

  var testDescription: String { String(decoding: bytes.prefix(40), as: UTF8.self) }
}

/// Parses bytes that need not be UTF-8.
func parse(_ bytes: [UInt8]) throws -> JSONValue {
  try bytes.withUnsafeBytes { try JSONValue(parsing: $0) }
}

@Suite struct JSONScannerTests {
  static let structure: [MalformedText] = [
    .init("", "text ends where a value is expected", at: 0),
    .init(" \n\t\r", "text ends where a value is expected", at: 4),
    .init("{", "expected a string", at: 1),
    .init("[", "text ends where a value is expected", at: 1),
    .init("[1", "expected ',' or ']' in an array", at: 2),
    .init("[1 2]", "expected ',' or ']' in an array", at: 3),
    .init("[1,]", "expected a value, found byte 93", at: 3),
    .init("[,1]", "expected a value, found byte 44", at: 1),
    .init("[1}", "expected ',' or ']' in an array", at: 2),
    .init(#"{"a":1,}"#, "expected a string", at: 7),
    .init(#"{"a" 1}"#, "expected ':' after a key", at: 5),
    .init(#"{"a":}"#, "expected a value", at: 5),
    .init(#"{"a":1 "b":2}"#, "expected ',' or '}' in an object", at: 7),
    .init(#"{"a":1]"#, "expected ',' or '}' in an object", at: 6),
    .init("{1:2}", "expected a string", at: 1),
    .init("{'a':1}", "expected a string", at: 1),
    .init("1 2", "unexpected text after the value", at: 2),
    .init("{}{}", "unexpected text after the value", at: 2),
    .init("// no\n1", "expected a value, found byte 47", at: 0),
    .init(bytes: [0xEF, 0xBB, 0xBF, 0x31], "expected a value, found byte 239", at: 0),
    .init(bytes: [0x31, 0x00], "unexpected text after the value", at: 1),
    .init(bytes: [0x0C, 0x31], "expected a value, found byte 12", at: 0),
    .init("]", "expected a value, found byte 93", at: 0),
  ]

  static let scalars: [MalformedText] = [
    .init("tru", "expected 'true'", at: 0),
    .init("True", "expected a value", at: 0),
    .init("trux", "expected 'true'", at: 0),
    .init("falsy", "expected 'false'", at: 0),
    .init("nul", "expected 'null'", at: 0),
    .init("nulll", "unexpected text after the value", at: 4),
    .init("NaN", "expected a value", at: 0),
    .init("Infinity", "expected a value", at: 0),
    .init("01", "number with a leading zero", at: 2),
    .init("-012", "number with a leading zero", at: 4),
    .init("00", "number with a leading zero", at: 2),
    .init("+1", "expected a value, found byte 43", at: 0),
    .init(".5", "expected a value, found byte 46", at: 0),
    .init("-", "expected a digit", at: 1),
    .init("-a", "expected a digit", at: 1),
    .init("1.", "expected a digit", at: 2),
    .init("1.e5", "expected a digit", at: 2),
    .init("1e", "expected a digit", at: 2),
    .init("1e+", "expected a digit", at: 3),
    .init("1E-x", "expected a digit", at: 3),
    .init("0x10", "unexpected text after the value", at: 1),
    .init("1_000", "unexpected text after the value", at: 1),
  ]

  static let strings: [MalformedText] = [
    .init(#"""#, "text ends inside a string", at: 1),
    .init(#""abc"#, "text ends inside a string", at: 4),
    .init(#""\"#, "text ends inside an escape", at: 2),
    .init(#""\x41""#, "unknown escape in a string", at: 3),
    .init(#""\'""#, "unknown escape in a string", at: 3),
    .init(#""\u12"#, "expected four hexadecimal digits", at: 5),
    .init(#""\u12G4""#, "expected four hexadecimal digits", at: 5),
    .init(#""\u+123""#, "expected four hexadecimal digits", at: 3),
    .init(bytes: Array(#""\u"#.utf8) + [0xB2, 0x31, 0x31, 0x31, 0x22], "four hexadecimal", at: 3),
    .init(#""\uD800""#, "lone surrogate", at: 7),
    .init(#""\uD800x""#, "lone surrogate", at: 7),
    .init(#""\uD800\n""#, "lone surrogate", at: 8),
    .init(#""\uD800\uD800""#, "lone surrogate", at: 13),
    .init(#""\uD800\u0041""#, "lone surrogate", at: 13),
    .init(#""\uDC00""#, "lone surrogate", at: 7),
    .init(#""\uDFFF\uD800""#, "lone surrogate", at: 7),
    .init(bytes: [0x22, 0x61, 0x0A, 0x22], "unescaped control byte", at: 2),
    .init(bytes: [0x22, 0x00, 0x22], "unescaped control byte", at: 1),
    .init(bytes: [0x22, 0x1F, 0x22], "unescaped control byte", at: 1),
    .init(bytes: [0x22, 0xFF, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0xC0, 0x80, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0xED, 0xA0, 0x80, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0xE2, 0x82, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0x5C, 0x6E, 0xE2, 0x82, 0x22], "string is not valid UTF-8", at: 1),
    .init(bytes: [0x22, 0xE2, 0x5C, 0x6E, 0x22], "string is not valid UTF-8", at: 1),
  ]

  @Test("Malformed text is refused with the offset of the fault", arguments: structure)
  func malformedStructureIsRefused(_ text: MalformedText) { expectRefusal(text) }

  @Test("A malformed word or number is refused with its offset", arguments: scalars)
  func malformedScalarsAreRefused(_ text: MalformedText) { expectRefusal(text) }

  @Test("A malformed string is refused with its offset", arguments: strings)
  func malformedStringsAreRefused(_ text: MalformedText) { expectRefusal(text) }

  private func expectRefusal(_ text: MalformedText) {
    let error = #expect(throws: JSONError.self) { try parse(text.bytes) }
    #expect(error?.fault.contains(text.fault) == true, "\(String(describing: error))")
    #expect(error?.offset == text.offset)
    // Skipping a value applies the same checks as building it.
    let skipped = #expect(throws: JSONError.self) {
      try text.bytes.withUnsafeBytes { bytes in
        var scanner = JSONScanner(bytes)
        try scanner.skipValue()
        try scanner.expectEnd()
      }
    }
    #expect(skipped == error)
  }

  @Test(
    "Ten thousand nested brackets are refused at the depth limit",
    arguments: ["[", #"{"a":"#, #"[{"a":"#])
  func deepNestingIsRefused(_ opening: String) {
    let text = String(repeating: opening, count: 10_000)
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.fault == "nesting deeper than \(JSONScanner.maximumDepth)")
  }

  @Test("Nesting up to the limit is followed, and siblings do not add up")
  func nestingUpToTheLimitIsRead() throws {
    let depth = JSONScanner.maximumDepth
    let deepest = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    var value = try JSONValue(parsing: deepest)
    for _ in 1..<depth { value = try #require(value.arrayValue?.first) }
    #expect(value.arrayValue?.isEmpty == true)
    #expect(throws: JSONError.self) { try JSONValue(parsing: "[\(deepest)]") }
    let siblings = "[" + Array(repeating: "[]", count: 1_000).joined(separator: ",") + "]"
    #expect(try JSONValue(parsing: siblings).arrayValue?.count == 1_000)
  }

  @Test("Every proper prefix of an object is refused")
  func truncatedTextIsRefused() throws {
    let sample = Array(
      #" {"a\u00e9\ud83d\ude00":[1,-2.5e+3,true,false,null,"é😀"],"b":{"c":{}},"d":[]}"#.utf8)
    _ = try parse(sample)
    for length in 0..<sample.count {
      let error = #expect(throws: JSONError.self, "prefix of \(length) bytes") {
        try parse(Array(sample.prefix(length)))
      }
      #expect(try #require(error).offset <= length)
    }
  }

  @Test(
    "Unsigned integers keep all 64 bits",
    arguments: [
      ("0", 0), ("18446744073709551615", UInt64.max), ("9223372036854775808", 1 << 63),
      (" 9007199254740993", 9_007_199_254_740_993),
    ])
  func unsignedIntegersAreExact(_ text: String, _ expected: UInt64) throws {
    var text = text
    let value = try text.withUTF8 { utf8 in
      var scanner = JSONScanner(UnsafeRawBufferPointer(utf8))
      return try scanner.readUInt64()
    }
    #expect(value == expected)
  }

  @Test(
    "Anything else than a non-negative 64-bit integer is refused where one is needed",
    arguments: ["18446744073709551616", "-1", "-0", "1.0", "1e2", "\"1\"", "null", "", "[1]"])
  func otherNumbersAreNoUnsignedIntegers(_ text: String) {
    var text = text
    #expect(throws: JSONError.self) {
      try text.withUTF8 { utf8 in
        var scanner = JSONScanner(UnsafeRawBufferPointer(utf8))
        return try scanner.readUInt64()
      }
    }
  }

  @Test("Kinds are told apart without moving on")
  func kindsAreTold() throws {
    let cases: [(String, JSONScanner.Kind)] = [
      ("{}", .object), ("[]", .array), ("\"\"", .string), ("-1", .number), ("7", .number),
      ("true", .bool), ("false", .bool), (" \n null", .null),
    ]
    for (text, kind) in cases {
      var text = text
      try text.withUTF8 { utf8 in
        var scanner = JSONScanner(UnsafeRawBufferPointer(utf8))
        #expect(try scanner.peekKind() == kind)
        #expect(try scanner.peekKind() == kind)
        try scanner.skipValue()
        try scanner.expectEnd()
      }
    }
  }

  @Test("The message names the byte")
  func messageNamesTheByte() {
    #expect(JSONError(offset: 12, fault: "no").description == "JSON byte 12: no")
  }
}
