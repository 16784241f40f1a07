import Foundation
import Images

/// The pictures of the first seed side by side: a row for each prompt, a column for each level.
struct ContactSheet {
  /// Longest side of a picture on the sheet.
  private static let largestSide = 192
  /// Prompts that are shown.
  private static let largestCount = 24
  private static let gap = 4
  /// Pixels of the font's.
  private static let fontScale = 2
  private static let labelHeight = LabelFont.height * fontScale + 8

  /// The sheet.
  let image: RGBImage

  init(_ report: ComparisonReport, _ store: ComparisonStore) {
    let seed = report.settings.seeds.first ?? 0
    let prompts = Array(report.settings.prompts.indices.prefix(Self.largestCount))
    let names = report.cells.levels.map(\.name)
    let rows = prompts.map { prompt in
      names.map { name in
        store.image(store.imageName(name, prompt: prompt, seed: seed))
          .map { $0.reduced(toSide: Self.largestSide) }
      }
    }
    let column = rows.joined().compactMap { $0?.width }.max() ?? Self.largestSide
    let heights = rows.map { row in row.compactMap { $0?.height }.max() ?? Self.largestSide }
    let width = Self.gap + names.count * (column + Self.gap)
    let height =
      Self.labelHeight + heights.reduce(0) { $0 + $1 + Self.labelHeight + Self.gap }
    var canvas = Canvas(width: width, height: height)
    for (index, name) in names.enumerated() {
      canvas.draw(
        name, x: Self.gap + index * (column + Self.gap), y: 4, width: column,
        scale: Self.fontScale)
    }
    var y = Self.labelHeight
    for (index, row) in rows.enumerated() {
      canvas.draw(
        report.settings.prompts[prompts[index]].text, x: Self.gap, y: y + 4,
        width: width - 2 * Self.gap, scale: Self.fontScale)
      y += Self.labelHeight
      for (index, image) in row.enumerated() {
        if let image { canvas.draw(image, x: Self.gap + index * (column + Self.gap), y: y) }
      }
      y += heights[index] + Self.gap
    }
    image = canvas.image
  }
}

/// A white picture to draw on.
private struct Canvas {
  private let width, height: Int
  private var pixels: [UInt8]

  init(width: Int, height: Int) {
    (self.width, self.height) = (width, height)
    pixels = [UInt8](repeating: 255, count: 3 * width * height)
  }

  var image: RGBImage { RGBImage(width: width, height: height, pixels: pixels) }

  mutating func draw(_ image: RGBImage, x: Int, y: Int) {
    for row in 0..<image.height where y + row < height {
      let count = 3 * min(image.width, width - x)
      let source = 3 * row * image.width
      let target = 3 * ((y + row) * width + x)
      pixels.replaceSubrange(
        target..<target + count, with: image.pixels[source..<source + count])
    }
  }

  /// Writes a line, cut where it does not fit.
  mutating func draw(_ text: String, x: Int, y: Int, width limit: Int, scale: Int) {
    let advance = (LabelFont.width + 1) * scale
    for (index, character) in text.prefix(limit / advance).enumerated() {
      for (row, bits) in LabelFont.rows(character).enumerated() {
        for column in 0..<LabelFont.width where bits >> (LabelFont.width - 1 - column) & 1 == 1 {
          fill(x: x + index * advance + column * scale, y: y + row * scale, side: scale)
        }
      }
    }
  }

  private mutating func fill(x: Int, y: Int, side: Int) {
    for row in y..<min(y + side, height) {
      for column in x..<min(x + side, width) {
        for channel in 0..<3 { pixels[3 * (row * width + column) + channel] = 32 }
      }
    }
  }
}

extension RGBImage {
  /// The picture with its longer side at most `side` pixels long: squares of pixels are averaged.
  func reduced(toSide side: Int) -> RGBImage {
    let factor = (max(width, height) + side - 1) / max(1, side)
    guard factor > 1 else { return self }
    let (columns, rows) = (max(1, width / factor), max(1, height / factor))
    var pixels = [UInt8](repeating: 0, count: 3 * columns * rows)
    for row in 0..<rows {
      for column in 0..<columns {
        for channel in 0..<3 {
          var sum = 0
          var count = 0
          for y in row * factor..<min(height, (row + 1) * factor) {
            for x in column * factor..<min(width, (column + 1) * factor) {
              sum += Int(self.pixels[3 * (y * width + x) + channel])
              count += 1
            }
          }
          pixels[3 * (row * columns + column) + channel] = UInt8((sum + count / 2) / count)
        }
      }
    }
    return RGBImage(width: columns, height: rows, pixels: pixels)
  }
}
