import Images
import Testing

@Suite struct RGBImageTests {
  private func image(_ planes: [Float], width: Int, height: Int) -> RGBImage {
    RGBImage(width: width, height: height, rowsAtOnce: 1) { rows in
      (0..<3).flatMap { channel in
        let start = (channel * height + rows.lowerBound) * width
        return planes[start..<start + rows.count * width]
      }
    }
  }

  /// The sample that one plane value becomes.
  private func sample(_ value: Float) -> UInt8 {
    image([value, value, value], width: 1, height: 1).pixels[0]
  }

  @Test("Planes are interleaved row by row")
  func planesAreInterleaved() {
    let levels: [Float] = (0..<12).map { Float($0) * 20 / 255 * 2 - 1 }
    let picture = image(levels, width: 2, height: 2)
    #expect(picture.width == 2 && picture.height == 2)
    #expect(picture.pixels == [0, 80, 160, 20, 100, 180, 40, 120, 200, 60, 140, 220])
  }

  @Test("Every 8-bit level comes back from its plane value")
  func levelsComeBack() {
    for level in 0...255 { #expect(sample(Float(level) / 255 * 2 - 1) == UInt8(level)) }
  }

  @Test("Values outside -1...1 are clamped")
  func valuesAreClamped() {
    #expect(sample(-1) == 0)
    #expect(sample(1) == 255)
    #expect(sample(-1.001) == 0)
    #expect(sample(1.001) == 255)
    #expect(sample(-.greatestFiniteMagnitude) == 0)
    #expect(sample(.greatestFiniteMagnitude) == 255)
    #expect(sample(-.infinity) == 0)
    #expect(sample(.infinity) == 255)
  }

  @Test("NaN becomes black instead of a trap")
  func nanIsBlack() {
    #expect(sample(.nan) == 0)
    #expect(sample(-.nan) == 0)
    #expect(image([.nan, 1, 0], width: 1, height: 1).pixels == [0, 255, 128])
  }

  @Test("Values halfway between two levels go to the even one")
  func halvesGoToEven() throws {
    #expect(sample(0) == 128)
    var checked = 0
    for level in 0..<255 {
      // Look for a float whose sample is exactly level + 0.5, as float32 arithmetic gives it.
      let half = Float(level) + 0.5
      let start = half / 255 * 2 - 1
      let candidates = [start.nextDown.nextDown, start.nextDown, start, start.nextUp]
      guard let value = candidates.first(where: { ($0 * 0.5 + 0.5) * 255 == half }) else {
        continue
      }
      checked += 1
      #expect(sample(value) == UInt8(level % 2 == 0 ? level : level + 1), "level \(level)")
    }
    #expect(checked > 100)
  }
}
