/// A small GGUF file, byte by byte.
struct MinimalGGUF {
  /// Metadata of type uint32.
  var integers: [(key: String, value: UInt32)] = []
  /// Metadata of type string.
  var texts: [(key: String, text: String)] = []
  /// Names of tensors without elements.
  var emptyTensors: [String] = []

  var bytes: [UInt8] {
    var bytes = Array("GGUF".utf8) + Self.littleEndian(UInt32(3))
    bytes += Self.littleEndian(UInt64(emptyTensors.count))
    bytes += Self.littleEndian(UInt64(integers.count + texts.count))
    for (key, value) in integers {
      bytes += Self.text(key) + Self.littleEndian(UInt32(4)) + Self.littleEndian(value)
    }
    for (key, text) in texts {
      bytes += Self.text(key) + Self.littleEndian(UInt32(8)) + Self.text(text)
    }
    for name in emptyTensors {
      // One dimension of 0, float32, offset 0.
      bytes += Self.text(name) + Self.littleEndian(UInt32(1)) + Self.littleEndian(UInt64(0))
      bytes += Self.littleEndian(UInt32(0)) + Self.littleEndian(UInt64(0))
    }
    return bytes
  }

  private static func text(_ text: String) -> [UInt8] {
    littleEndian(UInt64(text.utf8.count)) + Array(text.utf8)
  }

  private static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }
}
