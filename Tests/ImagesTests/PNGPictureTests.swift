import Images
import TestSupport
import Testing

@Suite("Pictures from PNG files") struct PNGPictureTests {
  private static let names =
    [(0, [1, 2, 4, 8, 16]), (2, [8, 16]), (3, [1, 2, 4, 8]), (4, [8, 16]), (6, [8, 16])]
    .flatMap { color, depths in
      depths.flatMap { ["color\(color)-depth\($0)", "color\(color)-depth\($0)-interlaced"] }
    }

  @Test("every kind has the pixels that Pillow reads", arguments: names)
  func kinds(name: String) throws {
    let golden = try Golden("pictures/golden.safetensors")
    let picture = try PNGPicture(try golden.bytes("\(name).png"))
    #expect([picture.image.height, picture.image.width, 3] == (try golden.shape("\(name).rgb")))
    #expect(picture.image.pixels == (try golden.bytes("\(name).rgb")))
    let hasAlpha = name.hasPrefix("color4") || name.hasPrefix("color6")
    #expect(picture.notes.isEmpty != hasAlpha, "\(picture.notes)")
    guard golden.names.contains("\(name).luminance") else { return }
    #expect(picture.image.luminance == (try golden.bytes("\(name).luminance")))
  }

  private static let sound = PNGBuilder.picture(
    width: 2, height: 2, colorType: 2, rows: [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])

  /// The picture with chunks between its header and its data.
  private func picture(with bytes: [UInt8]) -> [UInt8] {
    Array(Self.sound.prefix(33)) + bytes + Self.sound.dropFirst(33)
  }

  private func expectRefused(_ file: [UInt8], _ part: String, maximumPixels: Int = 1 << 20) {
    let error = #expect(throws: PNGError.self) {
      try PNGPicture(file, maximumPixels: maximumPixels)
    }
    let message = error?.message ?? ""
    #expect(!message.isEmpty && (part.isEmpty || message.contains(part)), "\(message)")
  }

  @Test("what is no whole PNG file is refused with a reason")
  func refusals() throws {
    expectRefused([], "no PNG")
    expectRefused(Array("GIF89a and more bytes than a header has".utf8), "no PNG")
    expectRefused(PNGBuilder.signature, "no header")
    expectRefused(PNGBuilder.signature + PNGBuilder.chunk("IEND", []), "no header")
    for end in 33..<Self.sound.count { expectRefused(Array(Self.sound[..<end]), "") }
    var changed = Self.sound
    changed[20] ^= 1
    expectRefused(changed, "checksum")
    changed = Self.sound
    changed[50] ^= 1
    expectRefused(changed, "")
    expectRefused(picture(with: PNGBuilder.chunk("ABCD", [1])), "critical chunk")
    let header = Array(Self.sound[8..<33])
    expectRefused(picture(with: header), "")
  }

  @Test("sizes are judged by the header, before anything is inflated")
  func limits() throws {
    func file(_ width: UInt32, _ height: UInt32) -> [UInt8] {
      PNGBuilder.picture(width: width, height: height, colorType: 2, rows: [[1, 2, 3]])
    }
    expectRefused(file(1 << 30, 1 << 30), "the limit is")
    expectRefused(file(0x7FFF_FFFF, 0x7FFF_FFFF), "the limit is")
    expectRefused(file(0, 1), "header")
    expectRefused(file(0x8000_0000, 1), "header")
    expectRefused(Self.sound, "2x2 pixels, the limit is 3", maximumPixels: 3)
    #expect(try PNGPicture(Self.sound, maximumPixels: 4).image.height == 2)
    expectRefused(file(1, 65_537), "65536 for each side", maximumPixels: 1 << 30)
    // Fewer rows than the header says.
    expectRefused(file(1, 60_000), "")
  }

  @Test("data behind the last row is not inflated")
  func excess() throws {
    // Two rows more than the header says, in one stored block: a warning. Megabytes: a refusal.
    let rows = Array(repeating: [UInt8](repeating: 7, count: 6), count: 4)
    let some = PNGBuilder.picture(width: 2, height: 4, colorType: 2, rows: rows)
    func file(_ data: [UInt8]) -> [UInt8] {
      Array(Self.sound.prefix(33)) + PNGBuilder.chunk("IDAT", data) + PNGBuilder.chunk("IEND", [])
    }
    let stored = try #require(PNGBuilder.chunks(of: some)?.first { $0.type == "IDAT" }).data
    let picture = try PNGPicture(file(stored))
    #expect(picture.image.pixels == Array(repeating: 7, count: 12))
    #expect(picture.notes.contains { $0.contains("Too much image data") }, "\(picture.notes)")
    // Empty stored blocks without end.
    let sound = try #require(PNGBuilder.chunks(of: Self.sound)?.first { $0.type == "IDAT" }).data
    let pixels = [sound[0], sound[1], 0] + sound[3..<sound.count - 4]
    let empty = Array(repeating: [0, 0, 0, 0xFF, 0xFF] as [UInt8], count: 40_000).flatMap { $0 }
    expectRefused(file(pixels + empty), "more data than its pixels need")
  }

  @Test("an index beyond the palette is refused, and a palette that is missing")
  func palettes() throws {
    func file(_ palette: [UInt8]) -> [UInt8] {
      var header = PNGBuilder.bytes(3) + PNGBuilder.bytes(1)
      header += [8, 3, 0, 0, 0]
      let gray = PNGBuilder.picture(width: 3, height: 1, colorType: 0, rows: [[0, 1, 2]])
      let plte = palette.isEmpty ? [] : PNGBuilder.chunk("PLTE", palette)
      return PNGBuilder.signature + PNGBuilder.chunk("IHDR", header) + plte + gray.dropFirst(33)
    }
    #expect(
      try PNGPicture(file([9, 8, 7, 6, 5, 4, 3, 2, 1])).image.pixels == [9, 8, 7, 6, 5, 4, 3, 2, 1])
    expectRefused(file([9, 8, 7, 6, 5, 4]), "beyond the palette")
    expectRefused(file([]), "PLTE")
    expectRefused(file([1, 2, 3, 4]), "")
  }

  @Test(
    "chunks without pixels are skipped unread, whatever they claim to hold",
    arguments: ["zTXt", "iCCP", "eXIf", "gAMA", "tRNS", "acTL"])
  func ancillaryChunks(type: String) throws {
    let expected = try PNGPicture(Self.sound)
    #expect(try PNGPicture(picture(with: PNGBuilder.chunk(type, [1, 2, 3]))) == expected)
    let claim = PNGBuilder.bytes(0x5400_0016) + Array(type.utf8) + [0x43, 0, 0]
    expectRefused(picture(with: claim), "")
  }

  @Test("sizes are Pillow's, to the bit", arguments: 0..<8)
  func resizing(index: Int) throws {
    let golden = try Golden("pictures/golden.safetensors")
    func picture(_ name: String) throws -> RGBImage {
      let shape = try golden.shape("resize\(index).\(name)")
      return RGBImage(
        width: shape[1], height: shape[0], pixels: try golden.bytes("resize\(index).\(name)"))
    }
    let source = try picture("source")
    for mode in [ResizeMode.stretch, .fill] {
      let expected = try picture(mode.rawValue)
      #expect(
        source.resized(width: expected.width, height: expected.height, mode) == expected,
        "\(mode)")
    }
    #expect(source.resized(width: source.width, height: source.height, .fit) == source)
  }

  @Test("a picture that is fitted lies in the middle, with its edges repeated")
  func fitting() {
    let source = RGBImage(width: 2, height: 1, pixels: [10, 20, 30, 40, 50, 60])
    let tall = source.resized(width: 2, height: 4, .fit)
    #expect(tall.pixels == Array(repeating: source.pixels, count: 4).flatMap { $0 })
    let wide = source.resized(width: 5, height: 1, .fit)
    #expect(
      wide.pixels == [10, 20, 30, 10, 20, 30, 40, 50, 60, 40, 50, 60, 40, 50, 60])
    let one = RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    let six = Array(repeating: [1, 2, 3] as [UInt8], count: 6).flatMap { $0 }
    #expect(one.resized(width: 3, height: 2, .fill).pixels == six)
  }
}
