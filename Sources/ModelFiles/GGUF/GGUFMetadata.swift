/// The types of GGUF metadata values.
public enum GGUFValueType: UInt32, Sendable, CaseIterable {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// Bytes of a value of fixed size; nil for strings and arrays.
  var fixedSize: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }

  /// The name used in messages and listings.
  public var name: String { "\(self)" }
}

/// One metadata value. Strings and arrays stay in the file until they are asked for.
public struct GGUFValue: Sendable {
  /// The type under which it is stored.
  public let type: GGUFValueType
  /// Where the value's bytes lie (a string's text without its length; an array's elements).
  let range: Range<Int>
  /// Element type and count of an array.
  let array: (type: GGUFValueType, count: Int)?
  let file: MappedFile

  /// An integer of any width that fits 64 signed bits; nil for other types.
  public var integer: Int? {
    switch type {
    case .uint8: Int(load(UInt8.self))
    case .int8: Int(load(Int8.self))
    case .uint16: Int(load(UInt16.self))
    case .int16: Int(load(Int16.self))
    case .uint32: Int(load(UInt32.self))
    case .int32: Int(load(Int32.self))
    case .uint64: Int(exactly: load(UInt64.self))
    case .int64: Int(load(Int64.self))
    default: nil
    }
  }

  /// An unsigned 64-bit value, which may exceed `Int`.
  public var unsigned: UInt64? { type == .uint64 ? load(UInt64.self) : nil }

  /// A floating-point number, or an integer as one.
  public var double: Double? {
    switch type {
    case .float32: Double(Float(bitPattern: load(UInt32.self)))
    case .float64: Double(bitPattern: load(UInt64.self))
    default: integer.map(Double.init)
    }
  }

  /// The number as a person wrote it: a float32 of 3.5 or 0.13025 stands for that decimal, not for
  /// its nearest neighbour in float64.
  package var decimal: Double? {
    guard let double else { return nil }
    return type == .float32 ? Double("\(Float(double))") ?? double : double
  }

  /// A truth value.
  public var bool: Bool? { type == .bool ? load(UInt8.self) == 1 : nil }

  /// A text.
  public var string: String? { type == .string ? file.text(range) : nil }

  /// The beginning of a text.
  ///
  /// - Parameter limit: most bytes of it; a character is never cut.
  /// - Returns: the text; nil for other types.
  package func textPrefix(_ limit: Int) -> String? {
    guard type == .string else { return nil }
    var end = range.lowerBound + min(limit, range.count)
    while end < range.upperBound, end > range.lowerBound, file.bytes[end] & 0xC0 == 0x80 {
      end -= 1
    }
    return file.text(range.lowerBound..<end)
  }

  /// Where the bytes of a text lie in the file.
  package var textRange: (range: Range<Int>, file: MappedFile)? {
    type == .string ? (range, file) : nil
  }

  /// Bytes of a text, without reading it.
  public var stringLength: Int? { type == .string ? range.count : nil }

  /// The element type of an array.
  public var elementType: GGUFValueType? { array?.type }

  /// The number of elements of an array.
  public var elementCount: Int? { array?.count }

  /// The content of an array of bytes; nil for other types.
  package var arrayBytes: UnsafeRawBufferPointer.SubSequence? {
    array?.type == .uint8 || array?.type == .int8 ? file.bytes[range] : nil
  }

  /// The first elements of an array; nil for other types.
  public func elements(limit: Int = .max) -> [GGUFValue]? {
    guard let array else { return nil }
    var reader = ByteReader(file, at: range.lowerBound)
    var values: [GGUFValue] = []
    // The array was walked when the file was opened, so this cannot fail.
    for _ in 0..<min(array.count, limit) {
      guard let value = try? GGUFValue.read(array.type, from: &reader, what: "array element")
      else { return nil }
      values.append(value)
    }
    return values
  }

  /// Reads one value and checks it to its end.
  static func read(
    _ type: GGUFValueType, from reader: inout ByteReader, what: @autoclosure () -> String,
    depth: Int = 0
  ) throws(ModelFileError) -> GGUFValue {
    if let size = type.fixedSize {
      let start = try reader.skip(UInt64(size), what())
      if type == .bool, reader.file.bytes[start] > 1 {
        throw reader.file.malformed(
          "\(what()) is a bool of value \(reader.file.bytes[start]), only 0 and 1 are allowed")
      }
      return GGUFValue(
        type: type, range: start..<reader.offset, array: nil, file: reader.file)
    }
    if type == .string {
      let range = try reader.readStringRange(what())
      return GGUFValue(type: type, range: range, array: nil, file: reader.file)
    }
    return try readArray(from: &reader, what: what(), depth: depth)
  }

  private static func readArray(
    from reader: inout ByteReader, what: @autoclosure () -> String, depth: Int
  ) throws(ModelFileError) -> GGUFValue {
    guard depth < GGUFFile.maximumArrayDepth else {
      throw reader.file.malformed(
        "\(what()) nests arrays deeper than \(GGUFFile.maximumArrayDepth)")
    }
    let typeNumber = try reader.read(UInt32.self, what())
    guard let elementType = GGUFValueType(rawValue: typeNumber) else {
      throw reader.file.malformed("\(what()) has elements of unknown type \(typeNumber)")
    }
    let count = try reader.read(UInt64.self, what())
    // The smallest element bounds the count before anything is walked.
    let smallest = UInt64(elementType.fixedSize ?? (elementType == .string ? 8 : 12))
    guard count <= UInt64(reader.remaining) / smallest, let elementCount = Int(exactly: count)
    else {
      throw reader.file.malformed(
        "\(what()) claims \(count) elements of type \(elementType.name), but only "
          + "\(reader.remaining) bytes are left")
    }
    let start = reader.offset
    if let size = elementType.fixedSize {
      let first = try reader.skip(count * UInt64(size), what())
      if elementType == .bool { try checkBools(first..<reader.offset, in: reader.file, what()) }
    } else {
      for _ in 0..<elementCount {
        _ = try read(elementType, from: &reader, what: what(), depth: depth + 1)
      }
    }
    return GGUFValue(
      type: .array, range: start..<reader.offset, array: (elementType, elementCount),
      file: reader.file)
  }

  private static func checkBools(
    _ range: Range<Int>, in file: MappedFile, _ what: @autoclosure () -> String
  ) throws(ModelFileError) {
    for start in stride(from: range.lowerBound, to: range.upperBound, by: 8 << 20) {
      let piece = start..<min(range.upperBound, start + (8 << 20))
      guard !file.bytes[piece].contains(where: { $0 > 1 }) else {
        throw file.malformed("\(what()) holds a bool that is neither 0 nor 1")
      }
      file.release(piece)
    }
  }

  private func load<Number: FixedWidthInteger>(_ type: Number.Type) -> Number {
    Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: type))
  }
}

extension MappedFile {
  /// The text of a range that is known to be UTF-8.
  func text(_ range: Range<Int>) -> String {
    String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
  }
}
