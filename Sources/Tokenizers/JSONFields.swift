import StrictJSON

/// Typed access to members of a JSON object, with errors that name the place.
///
/// A member that is null counts as missing, as it does for the libraries that write these files.
extension JSONValue {
  func optional(_ key: String) -> JSONValue? {
    guard let value = self[key], !value.isNull else { return nil }
    return value
  }

  func optionalBool(_ key: String, at place: String) throws(TokenizerError) -> Bool? {
    guard let value = optional(key) else { return nil }
    guard let bool = value.boolValue else { throw value.mismatch("true or false", place, key) }
    return bool
  }

  func optionalString(_ key: String, at place: String) throws(TokenizerError) -> String? {
    guard let value = optional(key) else { return nil }
    guard let string = value.stringValue else { throw value.mismatch("a string", place, key) }
    return string
  }

  func string(_ key: String, at place: String) throws(TokenizerError) -> String {
    guard let string = try optionalString(key, at: place) else {
      throw TokenizerError("\(place).\(key): expected a string, found nothing")
    }
    return string
  }

  func optionalArray(_ key: String, at place: String) throws(TokenizerError) -> [JSONValue]? {
    guard let value = optional(key) else { return nil }
    guard let array = value.arrayValue else { throw value.mismatch("an array", place, key) }
    return array
  }

  func array(_ key: String, at place: String) throws(TokenizerError) -> [JSONValue] {
    guard let array = try optionalArray(key, at: place) else {
      throw TokenizerError("\(place).\(key): expected an array, found nothing")
    }
    return array
  }

  /// A non-negative id that fits the 32-bit integers models take.
  func tokenID(at place: @autoclosure () -> String) throws(TokenizerError) -> Int32 {
    guard let integer = integerValue, integer >= 0, let id = Int32(exactly: integer) else {
      throw TokenizerError("\(place()): expected an id from 0 to \(Int32.max), found \(brief)")
    }
    return id
  }

  /// The value, or its kind where it is long, for an error message.
  var brief: String {
    switch self {
    case .array(let values): "an array of \(values.count)"
    case .object(let members): "an object of \(members.count)"
    case .string(let string): quoted(string)
    default: text()
    }
  }

  private func mismatch(_ expected: String, _ place: String, _ key: String) -> TokenizerError {
    TokenizerError("\(place).\(key): expected \(expected), found \(brief)")
  }
}

/// Text from a file for an error message: on one line and not too long.
func quoted(_ text: String) -> String {
  JSONText.quoted(String(String.UnicodeScalarView(text.unicodeScalars.prefix(40))))
}

/// Bytes from a file for an error message.
func quoted(_ bytes: some Collection<UInt8>) -> String {
  quoted(String(decoding: bytes, as: UTF8.self))
}
