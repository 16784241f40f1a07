/// The visible characters by which byte-level vocabularies spell bytes.
enum ByteSymbols {
  /// The bytes in the order of their symbols: those that are printable in Latin-1 stand for
  /// themselves and come first.
  static let order: [UInt8] = printable + (0...255).filter { !printable.contains($0) }

  private static let printable: [UInt8] =
    Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)

  /// UTF-8 of the symbol of every byte; the others follow U+0100 in their order.
  static let symbols: [[UInt8]] = {
    var symbols = [[UInt8]](repeating: [], count: 256)
    for (index, byte) in order.enumerated() {
      let value = index < printable.count ? UInt32(byte) : UInt32(0x100 + index - printable.count)
      if let scalar = Unicode.Scalar(value) {
        symbols[Int(byte)] = Array(UTF8.encode(scalar) ?? .init())
      }
    }
    return symbols
  }()

  /// A text with each byte of its UTF-8 as a symbol.
  static func spelled(_ text: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in text { result.append(contentsOf: symbols[Int(byte)]) }
    return result
  }
}
