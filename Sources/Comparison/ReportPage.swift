import Foundation
import Images
import ModelFiles
import StrictJSON

/// The report as one HTML file that needs nothing else: style, script, data and pictures are inside.
struct ReportPage {
  /// Bytes of pictures in the page, before they are encoded as text; larger ones are reduced.
  private static let pictureBytes = 64 << 20
  private static let sides = [1024, 768, 512, 384, 256, 128, 64]

  /// The page.
  let html: String

  init(_ report: ComparisonReport, _ store: ComparisonStore) throws {
    let names = Self.pictures(report, store)
    var page = Self.text(PackageResources.report_html)
    // From the last place to the first: what is put in cannot hold a place that is still sought.
    let parts = [
      ("/*SCRIPT*/", Self.text(PackageResources.report_js)),
      ("/*PICTURES*/", try Self.pictureText(names, store)),
      ("/*DATA*/", Self.scriptText(report.json(store))),
      ("/*STYLE*/", Self.text(PackageResources.report_css)),
    ]
    for (place, content) in parts {
      guard let range = page.range(of: place) else { continue }
      page.replaceSubrange(range, with: content)
    }
    html = page
  }

  private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  /// JSON that may stand in a script: nothing in it can end the script or open a comment.
  private static func scriptText(_ json: JSONValue) -> String {
    json.text().replacingOccurrences(of: "<", with: "\\u003c")
      .replacingOccurrences(of: "\u{2028}", with: "\\u2028")
      .replacingOccurrences(of: "\u{2029}", with: "\\u2029")
  }

  // MARK: Pictures

  /// Names of all pictures and difference maps.
  private static func pictures(
    _ report: ComparisonReport, _ store: ComparisonStore
  ) -> [String] {
    report.cells.levels.flatMap { level in
      report.cells.subjects.flatMap { subject in
        ["", "-difference"].filter { $0.isEmpty || level.kind != .reference }.map {
          store.imageName(level.name, prompt: subject.prompt, seed: subject.seed, ending: $0)
        }
      }
    }
  }

  /// The pictures as members of an object, so small that all fit.
  private static func pictureText(_ names: [String], _ store: ComparisonStore) throws -> String {
    let total = names.reduce(0) { $0 + byteCount(store.path($1)) }
    let share = min(1, Double(pictureBytes) / Double(max(1, total)))
    var members: [String] = []
    for name in names {
      guard let data = FileManager.default.contents(atPath: store.path(name)) else { continue }
      let small = try share < 1 ? reduced([UInt8](data), to: share) : [UInt8](data)
      members.append(
        JSONValue.string(name).text() + ":\"data:image/png;base64,"
          + Data(small).base64EncodedString() + "\"")
    }
    return "{" + members.joined(separator: ",\n") + "}"
  }

  /// A picture whose file has about a share of its bytes.
  private static func reduced(_ data: [UInt8], to share: Double) throws -> [UInt8] {
    let image = try RGBImage(pngData: data)
    let limit = Double(max(image.width, image.height)) * share.squareRoot()
    let side = sides.first { Double($0) <= limit } ?? sides[sides.count - 1]
    return try image.reduced(toSide: side).pngData()
  }

  private static func byteCount(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}
