import CLibPNG

/// A PNG file's first chunk (PNG specification 11.2.1).
public struct PNGHeader: Equatable, Sendable {
  /// Pixels per row.
  public let width: Int
  /// Number of rows.
  public let height: Int
  /// Bits of a sample: 1, 2, 4, 8 or 16.
  public let bitDepth: Int
  /// Whether there is an alpha channel.
  public let hasAlpha: Bool

  /// Bytes that hold it: signature and chunk.
  public static let byteCount = 33

  /// Reads and checks it; nothing behind it is looked at.
  ///
  /// - Parameter file: the file's first bytes, at least ``byteCount`` if it is a PNG file.
  /// - Throws: `PNGError` if this is no PNG file, or none that the specification knows.
  public init(_ file: some Collection<UInt8>) throws(PNGError) {
    let bytes = Array(file.prefix(Self.byteCount))
    guard bytes.starts(with: PNGChunks.signature) else { throw PNGError(message: "is no PNG file") }
    guard bytes.count == Self.byteCount, Array(bytes[8..<16]) == [0, 0, 0, 13] + Array("IHDR".utf8)
    else { throw PNGError(message: "has no header") }
    func number(_ start: Int) -> Int { bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) } }
    guard number(29) == Int(PNGTextChunk.checksum(Array(bytes[12..<29]))) else {
      throw PNGError(message: "the header's checksum is wrong")
    }
    (width, height, bitDepth) = (number(16), number(20), Int(bytes[24]))
    let depths: [UInt8: [Int]] = [
      0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16],
    ]
    guard (1...0x7FFF_FFFF).contains(width), (1...0x7FFF_FFFF).contains(height),
      depths[bytes[25]]?.contains(bitDepth) == true, bytes[26] == 0, bytes[27] == 0, bytes[28] < 2
    else { throw PNGError(message: "the header is not one that PNG knows") }
    hasAlpha = bytes[25] & 4 != 0
  }

  /// The longest side that is accepted, which bounds what follows a last row.
  public static let maximumSide = 1 << 16

  /// Refuses pictures that are too large, before anything of them is inflated.
  ///
  /// - Parameter maximum: the most pixels that are accepted.
  /// - Throws: `PNGError` saying both sizes.
  public func expectPixels(atMost maximum: Int) throws(PNGError) {
    guard max(width, height) <= Self.maximumSide else {
      throw PNGError(
        message: "\(width)x\(height) pixels, the limit is \(Self.maximumSide) for each side")
    }
    guard width * height <= maximum else {
      throw PNGError(message: "\(width)x\(height) pixels, the limit is \(maximum) in all")
    }
  }
}

/// A picture from a PNG file that somebody else made, as Pillow's `convert("RGB")` gives it.
///
/// Samples count as they are stored: an alpha channel is dropped, 16-bit samples lose their low
/// byte, and no color profile, gamma or orientation (EXIF) is applied.
public struct PNGPicture: Equatable, Sendable {
  /// The pixels.
  public let image: RGBImage
  /// What of the file does not show in the picture, or what libpng found strange: lines.
  public let notes: [String]

  /// The most pixels of a picture, unless a caller says otherwise.
  public static let maximumPixels = 64 << 20

  /// Reads a whole file.
  ///
  /// Only the chunks that hold pixels reach libpng, so that no other is ever inflated; all are
  /// inflated to the size that the header says and no further.
  ///
  /// - Parameters:
  ///   - file: the file's bytes.
  ///   - maximumPixels: larger pictures are refused before anything is inflated.
  /// - Throws: `PNGError` for anything that is not a whole, valid PNG file.
  public init(_ file: [UInt8], maximumPixels: Int = Self.maximumPixels) throws(PNGError) {
    let header = try PNGHeader(file)
    try header.expectPixels(atMost: maximumPixels)
    let critical = PNGChunks.criticalOnly(file)
    var source = PNGSource()
    var pixels = [UInt8](repeating: 0, count: 3 * header.width * header.height)
    let isRead = critical.withUnsafeBufferPointer { bytes in
      source.bytes = bytes.baseAddress
      source.count = bytes.count
      // Both sides have at most 31 bits.
      return pngReadRGB(&source, UInt32(header.width), UInt32(header.height), &pixels) != 0
    }
    guard isRead else {
      let text = Self.text(source.error)
      throw PNGError(message: text.isEmpty ? "libpng has no memory" : text)
    }
    image = RGBImage(width: header.width, height: header.height, pixels: pixels)
    let warning = Self.text(source.warning)
    notes =
      (header.hasAlpha ? ["its transparency is dropped: colors count as they are stored"] : [])
      + (warning.isEmpty ? [] : ["libpng: \(warning)"])
  }

  /// The text in a buffer of C, up to its zero byte.
  private static func text<Buffer>(_ buffer: Buffer) -> String {
    withUnsafeBytes(of: buffer) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
