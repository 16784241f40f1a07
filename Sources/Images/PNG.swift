import CLibPNG

/// Why libpng could not write or read a picture.
public struct PNGError: Error, CustomStringConvertible {
  /// libpng's own message.
  public let message: String

  package init(message: String) { self.message = message }

  /// A line for the user.
  public var description: String { "PNG: \(message)" }
}

extension RGBImage {
  /// Encodes the picture as PNG.
  ///
  /// - Parameter texts: keyword and text pairs to store with the picture; keywords are 1 to 79
  ///   Latin-1 characters.
  /// - Returns: the bytes of a PNG file.
  /// - Throws: `PNGError` if libpng refuses the size or has no memory.
  public func pngData(
    texts: [(keyword: String, text: String)] = []
  ) throws(PNGError) -> [UInt8] {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    image.width = UInt32(width)
    image.height = UInt32(height)
    image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
    defer { png_image_free(&image) }
    // The first call only measures.
    var size: png_alloc_size_t = 0
    guard png_image_write_to_memory(&image, nil, &size, 0, pixels, 0, nil) != 0 else {
      throw PNGError(message: image.messageText)
    }
    var data = [UInt8](repeating: 0, count: size)
    guard png_image_write_to_memory(&image, &data, &size, 0, pixels, 0, nil) != 0 else {
      throw PNGError(message: image.messageText)
    }
    let chunks = texts.flatMap { PNGTextChunk(keyword: $0.keyword, text: $0.text).bytes }
    // Signature and IHDR take the first 33 bytes; texts may follow anywhere before IEND.
    data.insert(contentsOf: chunks, at: 33)
    return data
  }

  /// Decodes a PNG picture to 8-bit RGB over white.
  ///
  /// - Parameters:
  ///   - data: the file's bytes.
  ///   - maximumPixels: larger pictures are refused before anything is inflated.
  /// - Throws: `PNGError` for anything that is not a valid PNG.
  public init(pngData data: [UInt8], maximumPixels: Int = 64 << 20) throws(PNGError) {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }
    let data = PNGChunks.withoutOthers(data)
    let (loaded, pixels) = data.withUnsafeBytes { bytes -> (Bool, [UInt8]) in
      guard png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0 else {
        return (false, [])
      }
      let (width, height) = (Int(image.width), Int(image.height))
      // Sides have up to 31 bits, so that only this product surely fits.
      guard width * height <= maximumPixels else { return (true, []) }
      image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
      var pixels = [UInt8](repeating: 0, count: 3 * width * height)
      var white = png_color(red: 255, green: 255, blue: 255)
      return (png_image_finish_read(&image, &white, &pixels, 0, nil) != 0, pixels)
    }
    guard loaded else { throw PNGError(message: image.messageText) }
    let (width, height) = (Int(image.width), Int(image.height))
    guard width * height <= maximumPixels else {
      throw PNGError(message: "\(width)x\(height) pixels, the limit is \(maximumPixels) in all")
    }
    self.init(width: width, height: height, pixels: pixels)
  }
}

extension png_image {
  /// The text that libpng left behind, up to its zero byte.
  fileprivate var messageText: String {
    withUnsafeBytes(of: message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

/// A `tEXt` chunk, or `iTXt` where the text does not fit Latin-1 (PNG specification 11.3.4).
struct PNGTextChunk {
  let keyword: String
  let text: String

  /// The whole chunk: length, type, data and checksum.
  var bytes: [UInt8] {
    let latin1 = text.unicodeScalars.map { UInt8(exactly: $0.value) ?? 0 }
    let fits = text.unicodeScalars.allSatisfy { $0.value < 256 && $0.value != 0 }
    var body: [UInt8] = Array((fits ? "tEXt" : "iTXt").utf8)
    body += keyword.unicodeScalars.map { UInt8(exactly: $0.value) ?? UInt8(ascii: "?") }
    body.append(0)
    if fits {
      body += latin1
    } else {
      // Not compressed, no language, no translated keyword.
      body += [0, 0, 0, 0] as [UInt8]
      body += text.utf8.filter { $0 != 0 }
    }
    return Self.bigEndian(UInt32(body.count - 4)) + body + Self.bigEndian(Self.checksum(body))
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  /// CRC-32 of the PNG specification (appendix D).
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : (crc >> 1) ^ 0xEDB8_8320 }
    }
    return ~crc
  }
}
