import StrictJSON

extension FuzzedReader {
  func readJSON(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let skipped = Self.skip(bytes)
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue(parsing: bytes)
    } catch {
      try expect(!error.fault.isEmpty, "a refusal tells why")
      try expect((0...bytes.count).contains(error.offset), "a fault lies in the text")
      return false
    }
    try expect(skipped, "what can be read can be skipped")
    // What is written is valid JSON, whatever was read, and stands for the same.
    for indentation in [nil, 2] {
      let text = value.text(indentation: indentation)
      guard let again = try? JSONValue(parsing: text) else {
        throw BrokenPromise("what is written can be read")
      }
      try expect(again.text(indentation: indentation) == text, "what is read again is the same")
    }
    return true
  }

  /// Whether a scanner finds its way over the text without reading it.
  private static func skip(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do throws(JSONError) {
      var scanner = JSONScanner(bytes)
      try scanner.skipValue()
      try scanner.expectEnd()
      return true
    } catch {
      return false
    }
  }
}
