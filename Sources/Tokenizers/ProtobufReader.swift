/// Reads the fields of a protocol buffer message from untrusted bytes.
struct ProtobufReader {
  /// The value of a field, by its wire type.
  enum Value {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(ArraySlice<UInt8>)
    case fixed32(UInt32)
  }

  private var rest: ArraySlice<UInt8>

  /// A reader of one message; offsets in errors count from the start of the whole file.
  init(_ message: ArraySlice<UInt8>) {
    rest = message
  }

  /// The next field; nil at the end of the message.
  mutating func nextField() throws(TokenizerError) -> (number: UInt64, value: Value)? {
    guard !rest.isEmpty else { return nil }
    let start = rest.startIndex
    let key = try readVarint()
    let number = key >> 3
    guard number > 0 else { throw TokenizerError("byte \(start): field number 0") }
    switch key & 7 {
    case 0: return (number, .varint(try readVarint()))
    case 1: return (number, .fixed64(try readFixed(8)))
    case 2:
      let length = try readVarint()
      guard length <= UInt64(rest.count) else {
        throw TokenizerError(
          "byte \(start): field \(number) has \(length) bytes, but only \(rest.count) are left")
      }
      return (number, .bytes(take(Int(truncatingIfNeeded: length))))
    case 5: return (number, .fixed32(UInt32(truncatingIfNeeded: try readFixed(4))))
    case let wireType:
      throw TokenizerError("byte \(start): field \(number) has the wire type \(wireType)")
    }
  }

  private mutating func readVarint() throws(TokenizerError) -> UInt64 {
    let start = rest.startIndex
    var value: UInt64 = 0
    for index in 0..<10 {
      guard let byte = rest.popFirst() else {
        throw TokenizerError("byte \(start): the file ends inside a number")
      }
      // The tenth byte has room for one bit only.
      if index == 9, byte > 1 { break }
      value |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte < 0x80 { return value }
    }
    throw TokenizerError("byte \(start): a number does not fit 64 bits")
  }

  private mutating func readFixed(_ count: Int) throws(TokenizerError) -> UInt64 {
    guard rest.count >= count else {
      throw TokenizerError("byte \(rest.startIndex): the file ends inside a number")
    }
    return take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }
}

extension ProtobufReader.Value {
  func bool(_ name: @autoclosure () -> String) throws(TokenizerError) -> Bool {
    try varint(name()) != 0
  }

  func varint(_ name: @autoclosure () -> String) throws(TokenizerError) -> UInt64 {
    guard case .varint(let value) = self else { throw mismatch(name()) }
    return value
  }

  func bytes(_ name: @autoclosure () -> String) throws(TokenizerError) -> ArraySlice<UInt8> {
    guard case .bytes(let value) = self else { throw mismatch(name()) }
    return value
  }

  func float(_ name: @autoclosure () -> String) throws(TokenizerError) -> Float {
    guard case .fixed32(let value) = self else { throw mismatch(name()) }
    return Float(bitPattern: value)
  }

  private func mismatch(_ name: String) -> TokenizerError {
    TokenizerError("\(name): the field has the wrong wire type")
  }
}
