import Images

extension FuzzedReader {
  /// Most pixels of a picture that is decoded here; compressing more takes too long.
  private static let maximumPixels = 1 << 12

  func readPNG(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    let data = Array(bytes)
    // Changed bytes hardly ever keep their checksum, which would hide all that comes after it.
    let isRead = try readPicture(Self.mended(data))
    return try readPicture(data) || isRead
  }

  private func readPicture(_ data: [UInt8]) throws(BrokenPromise) -> Bool {
    let isRead = try readForeignPicture(data)
    return try readOwnPicture(data) || isRead
  }

  /// As pictures are read that somebody else made.
  private func readForeignPicture(_ data: [UInt8]) throws(BrokenPromise) -> Bool {
    let picture: PNGPicture
    do throws(PNGError) {
      picture = try PNGPicture(data, maximumPixels: Self.maximumPixels)
    } catch {
      try expect(!error.message.isEmpty, "a refusal tells why")
      return false
    }
    let image = picture.image
    try expect(
      image.width > 0 && image.height > 0 && image.width * image.height <= Self.maximumPixels,
      "a picture is within the limit")
    let size = (width: image.height % 7 + 1, height: image.width % 5 + 1)
    for mode in ResizeMode.allCases {
      let resized = image.resized(width: size.width, height: size.height, mode)
      try expect(
        resized.width == size.width && resized.height == size.height, "a size is what was asked")
    }
    guard let written = try? image.pngData(), let again = try? PNGPicture(written) else {
      throw BrokenPromise("what is written can be read")
    }
    try expect(again.image == image, "what is read again is the same")
    return true
  }

  private func readOwnPicture(_ data: [UInt8]) throws(BrokenPromise) -> Bool {
    let picture: RGBImage
    do throws(PNGError) {
      picture = try RGBImage(pngData: data, maximumPixels: Self.maximumPixels)
    } catch {
      try expect(!error.message.isEmpty, "a refusal tells why")
      return false
    }
    try expect(
      picture.width > 0 && picture.height > 0
        && picture.width * picture.height <= Self.maximumPixels, "a picture is within the limit")
    guard let written = try? picture.pngData(texts: [("Comment", "é\u{2581}")]),
      let again = try? RGBImage(pngData: written)
    else { throw BrokenPromise("what is written can be read") }
    try expect(again == picture, "what is read again is the same")
    return true
  }

  /// The bytes with the checksum that each chunk should have.
  private static func mended(_ data: [UInt8]) -> [UInt8] {
    var data = data
    var start = 8
    while data.count - start >= 12 {
      let length = data[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= data.count - start - 12 else { break }
      let end = start + 8 + length
      let checksum = checksum(data[start + 4..<end])
      for (index, shift) in [24, 16, 8, 0].enumerated() {
        data[end + index] = UInt8(truncatingIfNeeded: checksum >> UInt32(shift))
      }
      start = end + 4
    }
    return data
  }

  /// CRC-32 of the PNG specification (appendix D), by table.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(0xFFFF_FFFF as UInt32) { crc, byte in
      checksums[Int((crc ^ UInt32(byte)) & 255)] ^ (crc >> 8)
    }
  }

  private static let checksums: [UInt32] = (0..<256 as Range<UInt32>).map { index in
    (0..<8).reduce(index) { crc, _ in crc & 1 == 0 ? crc >> 1 : (crc >> 1) ^ 0xEDB8_8320 }
  }
}
