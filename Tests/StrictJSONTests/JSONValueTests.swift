import StrictJSON
import Testing

@Suite struct JSONValueTests {
  @Test(
    "Integers that fit 64 bits are exact",
    arguments: [
      ("0", 0), ("-0", 0), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
      ("9007199254740993", 9_007_199_254_740_993),
      ("1234567890123456789", 1_234_567_890_123_456_789),
    ])
  func integersAreExact(_ text: String, _ expected: Int) throws {
    #expect(try JSONValue(parsing: text).integerValue == expected)
  }

  @Test(
    "Other numbers are doubles",
    arguments: [
      ("9223372036854775808", 0x1p63), ("1.0", 1), ("1e2", 100), ("-2.5E-1", -0.25),
      ("0.1", 0.1), ("1e400", Double.infinity), ("5e-324", Double.leastNonzeroMagnitude),
      ("0e0", 0),
    ])
  func otherNumbersAreDoubles(_ text: String, _ expected: Double) throws {
    let value = try JSONValue(parsing: text)
    #expect(value.integerValue == nil)
    #expect(value.doubleValue == expected)
  }

  @Test("An integer is also a double, a string is no number")
  func accessorsKeepTypesApart() throws {
    let value = try JSONValue(parsing: #"[3, "3", true, null, {}, []]"#)
    let elements = try #require(value.arrayValue)
    #expect(elements.map(\.doubleValue) == [3, nil, nil, nil, nil, nil])
    #expect(elements.map(\.integerValue) == [3, nil, nil, nil, nil, nil])
    #expect(elements.map(\.stringValue) == [nil, "3", nil, nil, nil, nil])
    #expect(elements.map(\.boolValue) == [nil, nil, true, nil, nil, nil])
    #expect(elements.map(\.isNull) == [false, false, false, true, false, false])
    #expect(elements.map { $0.members != nil } == [false, false, false, false, true, false])
    #expect(elements.map { $0.arrayValue != nil } == [false, false, false, false, false, true])
    #expect(value["a"] == nil)
  }

  @Test(
    "Escapes and surrogate pairs become the characters they stand for",
    arguments: [
      (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u00E9""#, "Aéé"),
      (#""\ud83d\ude00""#, "😀"), (#""\uD800\uDC00""#, "\u{10000}"),
      (#""\uDBFF\uDFFF""#, "\u{10FFFF}"), (#""\u0000""#, "\u{0}"), (#""a\u007fb""#, "a\u{7F}b"),
      ("\"▁é😀\"", "▁é😀"), (#""""#, ""), (#""x\uFFFFy""#, "x\u{FFFF}y"),
    ])
  func escapesAreResolved(_ text: String, _ expected: String) throws {
    let string = try #require(try JSONValue(parsing: text).stringValue)
    #expect(Array(string.utf8) == Array(expected.utf8))
  }

  @Test("Strings keep their composition")
  func compositionIsKept() throws {
    let value = try JSONValue(parsing: "{\"\u{E9}\": 1, \"e\u{301}\": 2}")
    let keys = try #require(value.members).map { Array($0.key.utf8) }
    #expect(keys == [[0xC3, 0xA9], [0x65, 0xCC, 0x81]])
    #expect(value["\u{E9}"]?.integerValue == 1)
    #expect(value["e\u{301}"]?.integerValue == 2)
  }

  @Test("Duplicate keys stay in order and the first one is found by name")
  func duplicatesAreKept() throws {
    let value = try JSONValue(parsing: #"{"b": 1, "a": 2, "b": 3}"#)
    #expect(value.members?.map(\.key) == ["b", "a", "b"])
    #expect(value.members?.compactMap(\.value.integerValue) == [1, 2, 3])
    #expect(value["b"]?.integerValue == 1)
    #expect(value["c"] == nil)
  }

  @Test("Blanks may stand anywhere between tokens")
  func blanksAreSkipped() throws {
    let value = try JSONValue(parsing: " \r\n\t{ \"a\" : [ 1 , { } , [ ] ] , \"b\" : null } \n")
    #expect(value["a"]?.arrayValue?.count == 3)
    #expect(value["b"]?.isNull == true)
  }
}
