/// A metadata value as a GGUF file stores it.
indirect enum GGUFTestValue: Sendable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(UInt8)
  case string([UInt8])
  case array(type: UInt32, count: UInt64? = nil, [GGUFTestValue])
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)
  /// Any type number with any bytes.
  case raw(type: UInt32, [UInt8])

  static func text(_ text: String) -> GGUFTestValue { .string(Array(text.utf8)) }

  var typeID: UInt32 {
    switch self {
    case .uint8: 0
    case .int8: 1
    case .uint16: 2
    case .int16: 3
    case .uint32: 4
    case .int32: 5
    case .float32: 6
    case .bool: 7
    case .string: 8
    case .array: 9
    case .uint64: 10
    case .int64: 11
    case .float64: 12
    case .raw(let type, _): type
    }
  }

  /// The bytes after the type number.
  var payload: [UInt8] {
    switch self {
    case .uint8(let value): littleEndian(value)
    case .int8(let value): littleEndian(value)
    case .uint16(let value): littleEndian(value)
    case .int16(let value): littleEndian(value)
    case .uint32(let value): littleEndian(value)
    case .int32(let value): littleEndian(value)
    case .float32(let value): littleEndian(value.bitPattern)
    case .bool(let value): [value]
    case .string(let bytes): littleEndian(UInt64(bytes.count)) + bytes
    case .array(let type, let count, let elements):
      littleEndian(type) + littleEndian(count ?? UInt64(elements.count))
        + elements.flatMap(\.payload)
    case .uint64(let value): littleEndian(value)
    case .int64(let value): littleEndian(value)
    case .float64(let value): littleEndian(value.bitPattern)
    case .raw(_, let bytes): bytes
    }
  }
}

/// The bytes of a number, lowest first.
func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

/// Builds GGUF files byte by byte, sound ones and others.
struct GGUFBuilder: Sendable {
  static let f32: UInt32 = 0
  static let q4_0: UInt32 = 2
  static let q8_0: UInt32 = 8

  /// One tensor; `dimensions` fastest first, as the file stores them.
  struct Tensor: Sendable {
    var name: [UInt8]
    var dimensions: [UInt64]
    var type: UInt32
    /// The offset that is written.
    var offset: UInt64
    /// Where the bytes really go.
    var place: Int
    var data: [UInt8]
    /// The number of dimensions that is written, where it shall be wrong.
    var dimensionCount: UInt32?
  }

  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// Where offsets are rounded to; write `general.alignment` separately.
  var alignment = 32
  var pairs: [(key: [UInt8], value: GGUFTestValue)] = []
  var tensors: [Tensor] = []
  /// Counts that are written instead of the true ones.
  var claimedTensors: UInt64?
  var claimedPairs: UInt64?

  mutating func set(_ key: String, _ value: GGUFTestValue) {
    pairs.append((Array(key.utf8), value))
  }

  /// Adds a tensor behind the others.
  mutating func add(
    _ name: String, _ dimensions: [UInt64], type: UInt32 = f32, data: [UInt8],
    offset: UInt64? = nil
  ) {
    let end = tensors.last.map { $0.place + $0.data.count } ?? 0
    let place = offset.map { Int($0) } ?? (end + alignment - 1) / alignment * alignment
    tensors.append(
      Tensor(
        name: Array(name.utf8), dimensions: dimensions, type: type, offset: UInt64(place),
        place: place, data: data))
  }

  /// Header, metadata and tensor infos.
  var head: [UInt8] {
    var bytes = magic + littleEndian(version)
    bytes += littleEndian(claimedTensors ?? UInt64(tensors.count))
    bytes += littleEndian(claimedPairs ?? UInt64(pairs.count))
    for pair in pairs {
      bytes += littleEndian(UInt64(pair.key.count)) + pair.key
      bytes += littleEndian(pair.value.typeID) + pair.value.payload
    }
    for tensor in tensors {
      bytes += littleEndian(UInt64(tensor.name.count)) + tensor.name
      bytes += littleEndian(tensor.dimensionCount ?? UInt32(tensor.dimensions.count))
      bytes += tensor.dimensions.flatMap { littleEndian($0) }
      bytes += littleEndian(tensor.type) + littleEndian(tensor.offset)
    }
    return bytes
  }

  /// The whole file, which ends with the last byte of the last tensor.
  var bytes: [UInt8] {
    var bytes = head
    guard tensors.contains(where: { !$0.data.isEmpty }) else { return bytes }
    bytes += Array(repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
    let start = bytes.count
    for tensor in tensors where !tensor.data.isEmpty {
      let gap = start + tensor.place - bytes.count
      if gap > 0 { bytes += Array(repeating: 0, count: gap) }
      bytes += tensor.data
    }
    return bytes
  }
}

extension GGUFBuilder {
  /// A small sound file with something of everything, of which no byte at the end is spare.
  static var sample: GGUFBuilder {
    var builder = GGUFBuilder()
    builder.set("general.architecture", .text("test"))
    builder.set("general.alignment", .uint32(32))
    builder.set("scale", .float32(1.5))
    builder.set("flag", .bool(1))
    builder.set("tokens", .array(type: 8, [.text("a"), .text("é"), .text("")]))
    builder.set("nested", .array(type: 9, [.array(type: 4, [.uint32(7)]), .array(type: 7, [])]))
    builder.add("weight", [3, 2], data: floatBytes([1, 2, 3, 4, 5, 6]))
    builder.add("blocks", [32, 2], type: q4_0, data: Array(repeating: 0x11, count: 36))
    builder.add("empty", [0, 2], data: [])
    builder.add("scalar", [], data: floatBytes([42]))
    return builder
  }
}

/// Float32 values as a file stores them.
func floatBytes(_ values: [Float]) -> [UInt8] { values.flatMap { littleEndian($0.bitPattern) } }
