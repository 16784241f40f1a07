import Images
import Testing

@Suite struct PNGTests {
  private func sample(width: Int, height: Int) -> RGBImage {
    RGBImage(
      width: width, height: height,
      pixels: (0..<3 * width * height).map { UInt8(truncatingIfNeeded: $0 &* 97 &+ $0 >> 3) })
  }

  @Test(
    "Pictures survive encoding and decoding",
    arguments: [(1, 1), (1, 7), (7, 1), (13, 5), (64, 64), (300, 2)])
  func picturesSurvive(_ width: Int, _ height: Int) throws {
    let image = sample(width: width, height: height)
    let data = try image.pngData()
    #expect(try RGBImage(pngData: data) == image)
    let chunks = try #require(PNGBuilder.chunks(of: data))
    #expect(chunks.first?.type == "IHDR")
    #expect(chunks.last?.type == "IEND")
    #expect(chunks.allSatisfy { $0.isSound })
  }

  @Test("The checksum used here is CRC-32")
  func checksumIsCRC32() {
    #expect(PNGBuilder.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
    #expect(PNGBuilder.checksum(Array("IEND".utf8)) == 0xAE42_6082)
  }

  @Test("Latin-1 texts become tEXt chunks, other texts iTXt chunks, with sound checksums")
  func textsAreStored() throws {
    let image = sample(width: 3, height: 2)
    let data = try image.pngData(texts: [
      ("Software", "AuraFlow"), ("Title", "é\n"), ("Comment", "猫 😀"), ("Warning", "a\u{0}b"),
      ("Author", ""),
    ])
    #expect(try RGBImage(pngData: data) == image)
    let chunks = try #require(PNGBuilder.chunks(of: data))
    #expect(chunks.allSatisfy { $0.isSound })
    #expect(chunks.first?.type == "IHDR")
    let texts = chunks.filter { $0.type.hasSuffix("Xt") || $0.type.hasSuffix("XT") }
    #expect(texts.map(\.type) == ["tEXt", "tEXt", "iTXt", "iTXt", "tEXt"])
    #expect(texts[0].data == Array("Software\u{0}AuraFlow".utf8))
    #expect(texts[1].data == Array("Title".utf8) + [0, 0xE9, 0x0A])
    #expect(texts[2].data == Array("Comment".utf8) + [0, 0, 0, 0, 0] + Array("猫 😀".utf8))
    #expect(texts[3].data == Array("Warning".utf8) + [0, 0, 0, 0, 0] + Array("ab".utf8))
    #expect(texts[4].data == Array("Author".utf8) + [0])
  }

  @Test("Gray pictures become RGB and transparent ones lie over white")
  func otherColorTypesAreConverted() throws {
    let gray = PNGBuilder.picture(width: 2, height: 1, colorType: 0, rows: [[10, 200]])
    #expect(try RGBImage(pngData: gray).pixels == [10, 10, 10, 200, 200, 200])
    let rgba = PNGBuilder.picture(
      width: 2, height: 1, colorType: 6, rows: [[1, 2, 3, 255, 1, 2, 3, 0]])
    #expect(try RGBImage(pngData: rgba).pixels == [1, 2, 3, 255, 255, 255])
  }

  /// Bytes that are no sound PNG.
  struct Garbage: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
  }

  static let garbage: [Garbage] = {
    let sound = PNGBuilder.picture(width: 2, height: 1, colorType: 2, rows: [[1, 2, 3, 4, 5, 6]])
    var wrongChecksum = sound
    wrongChecksum[29] ^= 1
    var wrongData = sound
    wrongData[sound.count - 12 - 8] ^= 1
    return [
      Garbage(testDescription: "nothing", bytes: []),
      Garbage(testDescription: "text", bytes: Array("hello, this is no picture at all".utf8)),
      Garbage(testDescription: "JPEG", bytes: [0xFF, 0xD8, 0xFF, 0xE0] + sound.dropFirst(4)),
      Garbage(testDescription: "signature only", bytes: PNGBuilder.signature),
      Garbage(testDescription: "wrong header checksum", bytes: wrongChecksum),
      Garbage(testDescription: "wrong data checksum", bytes: wrongData),
      Garbage(
        testDescription: "no pixels",
        bytes: PNGBuilder.signature
          + PNGBuilder.chunk("IHDR", [0, 0, 0, 2, 0, 0, 0, 1, 8, 2, 0, 0, 0])
          + PNGBuilder.chunk("IEND", [])),
      Garbage(
        testDescription: "zero width",
        bytes: PNGBuilder.picture(width: 0, height: 1, colorType: 2, rows: [[]])),
      Garbage(
        testDescription: "unknown color type",
        bytes: PNGBuilder.picture(width: 1, height: 1, colorType: 5, rows: [[1, 2, 3]])),
      Garbage(
        testDescription: "too few rows",
        bytes: PNGBuilder.picture(width: 1, height: 2, colorType: 2, rows: [[1, 2, 3]])),
    ]
  }()

  @Test("Data that is no sound PNG is refused with a message", arguments: garbage)
  func garbageIsRefused(_ garbage: Garbage) {
    let error = #expect(throws: PNGError.self) { try RGBImage(pngData: garbage.bytes) }
    #expect(error?.message.isEmpty == false)
    #expect(error?.description.hasPrefix("PNG: ") == true)
  }

  @Test("A picture cut short before the end of its pixels is refused at every length")
  func truncatedPicturesAreRefused() throws {
    let data = try sample(width: 9, height: 4).pngData()
    let chunks = try #require(PNGBuilder.chunks(of: data))
    #expect(chunks.filter { $0.type == "IDAT" }.count == 1)
    // The chunk IEND (12 bytes) and the checksum before it are not needed for the pixels.
    for length in 0..<data.count - 20 {
      #expect(throws: PNGError.self, "\(length) bytes") {
        try RGBImage(pngData: Array(data.prefix(length)))
      }
    }
  }

  @Test("Pictures above the pixel limit are refused before they are inflated")
  func oversizedPicturesAreRefused() throws {
    let data = try sample(width: 5, height: 4).pngData()
    #expect(try RGBImage(pngData: data, maximumPixels: 20).width == 5)
    let error = #expect(throws: PNGError.self) {
      try RGBImage(pngData: data, maximumPixels: 19)
    }
    #expect(error?.message == "5x4 pixels, the limit is 19 in all")
    // A header may claim far more than memory holds.
    let claim = PNGBuilder.picture(
      width: 1_000_000, height: 1_000_000, colorType: 2, rows: [[1, 2, 3]])
    #expect(throws: PNGError.self) { try RGBImage(pngData: claim) }
    let wide = PNGBuilder.picture(width: 900_000, height: 900_000, colorType: 2, rows: [[1, 2, 3]])
    let refusal = #expect(throws: PNGError.self) { try RGBImage(pngData: wide) }
    #expect(refusal?.message.contains("900000x900000 pixels") == true)
  }

  @Test("An empty picture cannot be encoded")
  func emptyPictureIsRefused() {
    #expect(throws: PNGError.self) { try RGBImage(width: 0, height: 0, pixels: []).pngData() }
  }
}
