import BlockFormats

/// Lays out GGUF files (version 3, little-endian, tensors aligned to 32 bytes).
///
/// ```swift
/// let layout = try GGUFWriter.layout(metadata: pairs, tensors: declarations, path: path)
/// let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
/// for tensor in declarations { try writer.write(...) }
/// try writer.finish()
/// ```
package enum GGUFWriter {
  /// What readers assume where a file does not say.
  package static let alignment = 32
  /// Longest tensor name in bytes that ggml opens (`GGML_MAX_NAME` with its final zero).
  package static let maximumNameLength = 63

  /// A metadata value to write.
  package enum Value: Sendable {
    case uint32(UInt32)
    case int32(Int32)
    case uint64(UInt64)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case strings([String])
    case int32s([Int32])
    case float32s([Float])
    case bytes([UInt8])
    /// A value of another file, byte by byte.
    case copy(GGUFValue)
  }

  /// Lays out a file.
  ///
  /// - Parameters:
  ///   - metadata: pairs in file order, without `general.alignment`; keys must differ.
  ///   - tensors: tensors in file order.
  ///   - storesHashes: whether a last pair holds hashes of the contents (`TensorHashes`).
  ///   - path: the file, for messages.
  /// - Returns: what `TensorFileWriter` needs.
  /// - Throws: `ModelFileError` for what GGUF cannot hold.
  package static func layout(
    metadata: [(key: String, value: Value)], tensors: [TensorDeclaration],
    storesHashes: Bool = false, path: String
  ) throws(ModelFileError) -> TensorFileLayout {
    let byteCounts = try TensorFileLayout.byteCounts(tensors, path: path)
    var header = Header()
    header.bytes += Array("GGUF".utf8)
    header.append(UInt32(3))
    header.append(UInt64(tensors.count))
    header.append(UInt64(metadata.count + (storesHashes ? 1 : 0)))
    for (key, value) in metadata { header.append(key, value) }
    let hashes = storesHashes ? header.appendHashes(count: tensors.count) : nil
    var offset = 0
    var contents: [(byteCount: Int, padding: Int)] = []
    for (tensor, byteCount) in zip(tensors, byteCounts) {
      try header.append(tensor, offset: offset, path: path)
      let padding = padding(after: byteCount)
      contents.append((byteCount, padding))
      offset += byteCount + padding
    }
    header.bytes += Array(repeating: 0, count: padding(after: header.bytes.count))
    return TensorFileLayout(header: header.bytes, contents: contents, hashes: hashes)
  }

  private static func padding(after count: Int) -> Int {
    (alignment - count % alignment) % alignment
  }

  /// The bytes in front of the contents.
  private struct Header {
    var bytes: [UInt8] = []

    mutating func append<Number: FixedWidthInteger>(_ number: Number) {
      withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ text: String) {
      append(UInt64(text.utf8.count))
      bytes.append(contentsOf: text.utf8)
    }

    mutating func append(_ type: GGUFValueType) { append(type.rawValue) }

    mutating func append(_ key: String, _ value: Value) {
      append(key)
      switch value {
      case .uint32(let number): append(number, .uint32)
      case .int32(let number): append(number, .int32)
      case .uint64(let number): append(number, .uint64)
      case .float32(let number): append(number.bitPattern, .float32)
      case .bool(let isTrue): append(UInt8(isTrue ? 1 : 0), .bool)
      case .string(let text):
        append(.string)
        append(text)
      case .strings(let texts):
        appendArray(of: .string, count: texts.count)
        for text in texts { append(text) }
      case .int32s(let numbers):
        appendArray(of: .int32, count: numbers.count)
        for number in numbers { append(number) }
      case .float32s(let numbers):
        appendArray(of: .float32, count: numbers.count)
        for number in numbers { append(number.bitPattern) }
      case .bytes(let content):
        appendArray(of: .uint8, count: content.count)
        bytes += content
      case .copy(let value): append(value)
      }
    }

    /// Leaves room for hashes, to be filled in when the contents are known.
    mutating func appendHashes(count: Int) -> TensorHashes.Place {
      append(TensorHashes.key)
      appendArray(of: .uint64, count: count)
      let place = TensorHashes.Place(offset: bytes.count, encoding: .binary)
      bytes += Array(repeating: 0, count: 8 * count)
      return place
    }

    private mutating func append<Number: FixedWidthInteger>(
      _ number: Number, _ type: GGUFValueType
    ) {
      append(type)
      append(number)
    }

    private mutating func appendArray(of type: GGUFValueType, count: Int) {
      append(.array)
      append(type)
      append(UInt64(count))
    }

    private mutating func append(_ value: GGUFValue) {
      if let (type, count) = value.array {
        appendArray(of: type, count: count)
      } else {
        append(value.type)
        if value.type == .string { append(UInt64(value.range.count)) }
      }
      bytes.append(contentsOf: value.file.bytes[value.range])
    }

    mutating func append(
      _ tensor: TensorDeclaration, offset: Int, path: String
    ) throws(ModelFileError) {
      guard let id = tensor.type.ggufID else {
        throw TensorFileLayout.refusal(
          path, tensor, "has a type that GGUF does not know:", tensor.type.name)
      }
      guard (1...maximumNameLength).contains(tensor.name.utf8.count) else {
        throw TensorFileLayout.refusal(
          path, tensor, "has a name that is empty or longer than", "\(maximumNameLength) bytes")
      }
      guard tensor.shape.count <= GGUFFile.maximumDimensions else {
        throw TensorFileLayout.refusal(
          path, tensor, "has more dimensions than", "\(GGUFFile.maximumDimensions)")
      }
      append(tensor.name)
      append(UInt32(tensor.shape.count))
      // ggml counts dimensions from the fastest.
      for dimension in tensor.shape.reversed() { append(UInt64(dimension)) }
      append(id)
      append(UInt64(offset))
    }
  }
}
