import Images
import Testing

@Suite("Texts of PNG files") struct PNGTextsTests {
  private let image = RGBImage(width: 1, height: 1, pixels: [1, 2, 3])

  @Test("texts come back as they were written, in Latin-1 and beyond")
  func written() throws {
    let texts = [("parameters", "a\nb, é"), ("auraflow", "{\"prompt\":\"猫\"}"), ("empty", "")]
    let found = try #require(PNGTexts.read(try image.pngData(texts: texts)))
    for (keyword, text) in texts { #expect(found[keyword] == text) }
    #expect(PNGTexts.read(try image.pngData())?.isEmpty == true)
  }

  @Test("other files are none, and files cut anywhere do no harm")
  func damaged() throws {
    #expect(PNGTexts.read([]) == nil && PNGTexts.read(Array("GIF89a".utf8)) == nil)
    let file = try image.pngData(texts: [("parameters", "abc"), ("auraflow", "{}")])
    for length in 0..<file.count { _ = PNGTexts.read(Array(file.prefix(length))) }
    for index in 8..<file.count {
      var damaged = file
      damaged[index] = 0xFF
      _ = PNGTexts.read(damaged)
    }
  }
}
