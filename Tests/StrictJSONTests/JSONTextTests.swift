import StrictJSON
import Testing

@Suite struct JSONTextTests {
  @Test("Every scalar survives quoting and parsing")
  func everyScalarSurvives() throws {
    for plane: UInt32 in [0, 1, 0x10] {
      var text = ""
      for code in plane << 16..<(plane << 16 + 0x10000) {
        if let scalar = Unicode.Scalar(code) { text.unicodeScalars.append(scalar) }
      }
      let parsed = try #require(try JSONValue(parsing: JSONText.quoted(text)).stringValue)
      #expect(parsed.utf8.elementsEqual(text.utf8))
    }
  }

  @Test("Control characters, quotes and backslashes are escaped, other text is not")
  func onlyWhatMustBeEscapedIs() {
    #expect(JSONText.quoted("a\"b\\c/d\n\r\t") == #""a\"b\\c/d\n\r\t""#)
    #expect(
      JSONText.quoted("\u{0}\u{1F}\u{7F}\u{9F}\u{A0}é😀")
        == "\"\\u0000\\u001f\\u007f\\u009f\u{A0}é😀\"")
    #expect(JSONText.quoted("") == "\"\"")
  }

  private let sample: JSONValue = [
    "null": .null, "flags": [true, false], "int": -9_223_372_036_854_775_808, "double": 0.1,
    "text": "a: \"b\"\n", "empty": [:], "none": [], "nested": [["deep": [1, 2.5, "x"]], [[]]],
    "long": [1, 2, 3, 4, 5, 6, 7, 8, 9],
  ]

  @Test("Written values are read back", arguments: [nil, 0, 2, 4])
  func valuesSurvive(_ indentation: Int?) throws {
    let text = sample.text(indentation: indentation)
    #expect(try JSONValue(parsing: text).text() == sample.text())
    #expect(text.contains("\n") == (indentation != nil))
  }

  @Test("One line has no blanks")
  func compactTextHasNoBlanks() {
    let value: JSONValue = ["a": [1, 2.5, "x"], "b": ["c": .null]]
    #expect(value.text() == #"{"a":[1,2.5,"x"],"b":{"c":null}}"#)
  }

  @Test("Indented objects take a line per member, short plain lists one line")
  func indentationIsByLevel() {
    let value: JSONValue = ["shape": [4, 8], "a": ["b": 1]]
    #expect(
      value.text(indentation: 2) == """
        {
          "shape": [4, 8],
          "a": {
            "b": 1
          }
        }
        """)
  }

  @Test("Numbers that JSON cannot write become null")
  func nonFiniteNumbersBecomeNull() {
    #expect(JSONValue.array([.double(.nan), .double(.infinity)]).text() == "[null,null]")
  }

  @Test(
    "Doubles survive exactly",
    arguments: [
      0.1, 1.0 / 3, 1e21, 1e-7, .leastNonzeroMagnitude, Double.greatestFiniteMagnitude, -2.5,
      16_777_217,
    ])
  func doublesSurvive(_ value: Double) throws {
    let parsed = try JSONValue(parsing: JSONValue.double(value).text())
    #expect(parsed.doubleValue?.bitPattern == value.bitPattern)
  }

  @Test("The shortcuts agree with Unicode's own tables for every character")
  func invisibleCharacters() {
    let scalars = (0...0x10FFFF as ClosedRange<UInt32>).lazy.compactMap { Unicode.Scalar($0) }
    let wrong = scalars.filter { scalar in
      let expected =
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
      return scalar.isInvisible != expected
    }
    #expect(wrong.map(\.value).isEmpty)
  }
}
