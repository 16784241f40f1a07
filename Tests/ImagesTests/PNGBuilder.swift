import Images

/// Builds PNG files chunk by chunk, independently of libpng.
enum PNGBuilder {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  /// One chunk of a parsed file.
  struct Chunk {
    let type: String
    let data: [UInt8]
    /// Whether the stored checksum is that of type and data.
    let isSound: Bool
  }

  /// Splits a file into its chunks; nil where the framing is wrong.
  static func chunks(of file: [UInt8]) -> [Chunk]? {
    guard file.starts(with: signature) else { return nil }
    var chunks: [Chunk] = []
    var rest = file.dropFirst(signature.count)
    while !rest.isEmpty {
      guard rest.count >= 12 else { return nil }
      let length = Int(number(rest.prefix(4)))
      guard rest.count >= 12 + length else { return nil }
      let body = rest.dropFirst(4).prefix(4 + length)
      let stored = number(rest.dropFirst(8 + length).prefix(4))
      chunks.append(
        Chunk(
          type: String(decoding: body.prefix(4), as: UTF8.self), data: Array(body.dropFirst(4)),
          isSound: stored == checksum(Array(body))))
      rest = rest.dropFirst(12 + length)
    }
    return chunks
  }

  static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(type.utf8) + data
    return [bytes(UInt32(data.count)), body, bytes(checksum(body))].flatMap { $0 }
  }

  /// An 8-bit picture with uncompressed data; color types are 0 for gray, 2 for RGB, 6 for RGBA.
  static func picture(width: UInt32, height: UInt32, colorType: UInt8, rows: [[UInt8]]) -> [UInt8] {
    let raw: [UInt8] = rows.flatMap { [UInt8(0)] + $0 }
    let count = UInt16(raw.count)
    // One stored deflate block in a zlib frame.
    var stream: [UInt8] = [0x78, 0x01, 0x01, UInt8(count & 255), UInt8(count >> 8)]
    stream += [UInt8(~count & 255), UInt8(~count >> 8)]
    stream += raw
    stream += bytes(adler(raw))
    var header = bytes(width)
    header += bytes(height)
    header += [8, colorType, 0, 0, 0]
    return [signature, chunk("IHDR", header), chunk("IDAT", stream), chunk("IEND", [])]
      .flatMap { $0 }
  }

  static func bytes(_ number: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    bytes.reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// CRC-32 by table, as in the PNG specification's sample code.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let table = (0..<256 as Range<UInt32>).map { index in
      (0..<8).reduce(index) { value, _ in
        value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1
      }
    }
    return ~bytes.reduce(0xFFFF_FFFF) { crc, byte in
      table[Int((crc ^ UInt32(byte)) & 255)] ^ (crc >> 8)
    }
  }

  private static func adler(_ bytes: [UInt8]) -> UInt32 {
    var (low, high): (UInt32, UInt32) = (1, 0)
    for byte in bytes {
      low = (low + UInt32(byte)) % 65_521
      high = (high + low) % 65_521
    }
    return high << 16 | low
  }
}
