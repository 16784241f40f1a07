import Comparison
import Foundation
import Images
import StrictJSON
import TestSupport
import Testing

@Suite("Reports of comparisons")
struct ComparisonReportTests {
  @Test("every form tells all cells; prompts can break none of them")
  func forms() async throws {
    let tiny = try TinyComparison()
    let (cells, _) = try await tiny.run([try tiny.level("q4_0")])
    let report = try tiny.report(cells)
    try report.files(tiny.store, on: tiny.pool).write(to: tiny.store, tiny.writeFile)
    func text(_ name: String) throws -> String {
      try String(contentsOfFile: tiny.store.path(name), encoding: .utf8)
    }
    let results = try JSONValue(parsing: try text("results.json"))
    #expect(results["levels"]?.arrayValue?.count == 2)
    #expect(results["cells"]?.arrayValue?.count == 4)
    let prompt = try #require(results["settings"]?["prompts"]?.arrayValue?.last)
    #expect(prompt["prompt"]?.stringValue == tiny.settings.prompts[1].text)

    let rows = try text("results.csv").split(separator: "\n")
    #expect(rows.count == 5)
    #expect(rows[2].hasSuffix(",\"a, \"\"red\"\" </script>\u{2028}/*STYLE*/ hat\""), "\(rows[2])")

    let pictures = try text("pictures.jsonl").split(separator: "\n").map {
      try JSONValue(parsing: String($0))
    }
    #expect(
      pictures.map { $0["prompt"]?.stringValue }
        == [0, 1, 0, 1].map {
          tiny.settings.prompts[$0].text
        })
    try expectPage(try text("report.html"), tiny, pictures)
  }

  /// Nothing ends a script early or stands where a part of the page belongs, and every picture is
  /// in.
  private func expectPage(
    _ page: String, _ tiny: TinyComparison, _ pictures: [JSONValue]
  ) throws {
    #expect(
      page.components(separatedBy: "</script>").count
        == page.components(
          separatedBy: "<script"
        ).count)
    #expect(!page.contains("\u{2028}"))
    #expect(page.components(separatedBy: "/*STYLE*/").count == 2)
    for name in pictures.compactMap({ $0["file"]?.stringValue }) {
      let data = try Data(contentsOf: URL(fileURLWithPath: tiny.store.path(name)))
      #expect(page.contains(data.base64EncodedString()), "\(name)")
    }
  }

  @Test("the contact sheet holds the pictures as they are, in a row for each prompt")
  func contactSheet() async throws {
    let tiny = try TinyComparison(prompts: ["a cat", "a dog", "a hat"])
    let (cells, _) = try await tiny.run([try tiny.level("q2_K")])
    try tiny.report(cells).files(tiny.store, on: tiny.pool).write(to: tiny.store, tiny.writeFile)
    func image(_ name: String) throws -> RGBImage {
      try RGBImage(
        pngData: [UInt8](try Data(contentsOf: URL(fileURLWithPath: tiny.store.path(name)))))
    }
    let sheet = try image("contact-sheet.png")
    for (column, level) in ["F16", "q2_K"].enumerated() {
      let rows = try (0..<3).map { prompt in
        let picture = try image("images/\(level)/00\(prompt + 1)-s3.png")
        return try #require(sheet.places(of: picture).first { $0.column == column }).row
      }
      #expect(rows == rows.sorted() && rows[0] + 64 < rows[1] && rows[1] + 64 < rows[2])
    }
    #expect(sheet.width > 2 * 64 && sheet.height > 3 * 64)
  }

  @Test("the table has a line for each level, and tells the same from what was not measured")
  func table() async throws {
    let tiny = try TinyComparison(prompts: ["a cat"])
    let same = ComparisonLevel(name: "copy", kind: .level, paths: tiny.reference.paths)
    let (cells, _) = try await tiny.run([same])
    let lines = try tiny.report(cells).table.split(separator: "\n").map(String.init)
    #expect(lines.count == 3 && Set(lines.map(\.count)).count == 1)
    #expect(lines[0].hasPrefix("level") && lines[1].contains(" - "))
    #expect(lines[2].contains(" same ") && lines[2].contains(" 0.0000 "))
  }
}

extension RGBImage {
  /// Where a picture is found, as the number of its column in a sheet of two.
  fileprivate func places(of picture: RGBImage) -> [(column: Int, row: Int)] {
    var places: [(column: Int, row: Int)] = []
    for y in 0...max(0, height - picture.height) {
      for x in 0...max(0, width - picture.width) where holds(picture, x: x, y: y) {
        places.append((2 * x / width, y))
      }
    }
    return places
  }

  private func holds(_ picture: RGBImage, x: Int, y: Int) -> Bool {
    (0..<picture.height).allSatisfy { row in
      let start = 3 * ((y + row) * width + x)
      let own = 3 * row * picture.width
      return pixels[start..<start + 3 * picture.width]
        .elementsEqual(picture.pixels[own..<own + 3 * picture.width])
    }
  }
}
