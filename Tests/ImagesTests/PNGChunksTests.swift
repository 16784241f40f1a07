import Images
import Testing

@Suite struct PNGChunksTests {
  private static let sound = PNGBuilder.picture(
    width: 2, height: 1, colorType: 2, rows: [[1, 2, 3, 4, 5, 6]])
  private static let header = 8 + 25

  /// The picture with bytes between its header and its data.
  private func picture(with bytes: [UInt8]) -> [UInt8] {
    Array(Self.sound.prefix(Self.header)) + bytes + Self.sound.dropFirst(Self.header)
  }

  @Test(
    "Chunks that say nothing of pixels never reach libpng, which allocates what they claim",
    arguments: ["zTXt", "iTXt", "tEXt", "eXIf", "sPLT", "pCAL", "sCAL", "hIST", "abCd"])
  func others(type: String) throws {
    #expect(PNGChunks.withoutOthers(picture(with: PNGBuilder.chunk(type, [1, 2]))) == Self.sound)
    // Of 105 bytes, this asked for 1.4 GB.
    let claim = PNGBuilder.bytes(0x5400_0016) + Array(type.utf8) + [0x43, 0, 0]
    let cut = PNGChunks.withoutOthers(picture(with: claim))
    #expect(cut == Array(Self.sound.prefix(Self.header)))
    #expect(throws: PNGError.self) { try RGBImage(pngData: picture(with: claim)) }
  }

  @Test("Chunks that change colors stay, at their sizes")
  func colors() {
    for (type, count) in [("tRNS", 6), ("gAMA", 4), ("cHRM", 32), ("sRGB", 1), ("iCCP", 3000)] {
      let chunk = PNGBuilder.chunk(type, Array(repeating: 1, count: count))
      #expect(PNGChunks.withoutOthers(picture(with: chunk)) == picture(with: chunk))
    }
    let profile = PNGBuilder.chunk("iCCP", Array(repeating: 1, count: 65_537))
    #expect(PNGChunks.withoutOthers(picture(with: profile)) == Self.sound)
  }

  @Test("Nothing else is changed, wherever the file ends")
  func everythingElse() {
    for length in 0...Self.sound.count {
      let cut = Array(Self.sound.prefix(length))
      let rest = PNGChunks.withoutOthers(cut)
      #expect(cut.starts(with: rest) && cut.count - rest.count < 8)
    }
    #expect(PNGChunks.withoutOthers(Self.sound + [1, 2, 3]) == Self.sound)
    #expect(PNGChunks.withoutOthers([1, 2, 3]) == [1, 2, 3])
  }
}
