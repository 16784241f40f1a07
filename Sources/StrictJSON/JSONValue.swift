/// A JSON value in memory, for small files such as configurations.
///
/// Objects keep their members in order and compare keys byte by byte: Swift's `String` equality
/// is canonical, so two vocabulary entries that differ only in composition would collide in a
/// `Dictionary`.
package enum JSONValue: Sendable {
  case null
  case bool(Bool)
  /// A number without fraction or exponent that fits 64 bits.
  case integer(Int)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// One key of an object with its value.
  package struct Member: Sendable {
    package let key: String
    package let value: JSONValue

    package init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  /// Parses a whole text.
  package init(parsing bytes: UnsafeRawBufferPointer) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    self = try scanner.readValue()
    try scanner.expectEnd()
  }

  /// Parses a whole text.
  package init(parsing text: String) throws(JSONError) {
    var text = text
    let result: Result<JSONValue, JSONError> = text.withUTF8 { utf8 in
      Result { () throws(JSONError) in try JSONValue(parsing: UnsafeRawBufferPointer(utf8)) }
    }
    self = try result.get()
  }

  /// The value of a member of an object; nil if this is not an object or has no such member.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
  }

  package var stringValue: String? { if case .string(let value) = self { value } else { nil } }

  package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  package var integerValue: Int? { if case .integer(let value) = self { value } else { nil } }

  /// The number, whichever way it was written.
  package var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  package var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  package var members: [Member]? { if case .object(let value) = self { value } else { nil } }

  package var isNull: Bool { if case .null = self { true } else { false } }
}

extension JSONScanner {
  /// Reads one value of any kind.
  package mutating func readValue() throws(JSONError) -> JSONValue {
    switch try peekKind() {
    case .object:
      var members: [JSONValue.Member] = []
      try readObject { (scanner, key) throws(JSONError) in
        members.append(.init(key: key, value: try scanner.readValue()))
      }
      return .object(members)
    case .array:
      var elements: [JSONValue] = []
      try readArray { (scanner) throws(JSONError) in elements.append(try scanner.readValue()) }
      return .array(elements)
    case .string: return .string(try readString())
    case .number:
      let text = try readNumberText()
      if let integer = Int(text) { return .integer(integer) }
      return .double(Double(text) ?? .infinity)
    case .bool: return .bool(try readBool())
    case .null:
      try readNull()
      return .null
    }
  }
}
