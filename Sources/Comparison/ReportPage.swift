import Foundation
import Images
import Machine
import ModelFiles
import StrictJSON
import Synchronization

/// The report as one HTML file that needs nothing else: style, script, data and pictures are
/// inside.
struct ReportPage {
  /// Bytes of pictures in the page, before they are encoded as text; larger ones are reduced.
  private static let pictureBytes = 64 << 20
  /// Least side to which pictures are reduced.
  private static let leastSide = 96
  /// Most pictures: about as many as fit at the least side.
  private static let pictureCount = 4000

  /// The page.
  let html: String

  /// - Parameters:
  ///   - report: what it tells.
  ///   - store: where the pictures are.
  ///   - pool: threads to work on; cancelling it ends the work.
  /// - Throws: `ComputeError` if cancelled.
  init(_ report: ComparisonReport, _ store: ComparisonStore, on pool: ThreadPool) throws {
    let names = Array(Self.pictures(report, store).prefix(Self.pictureCount))
    var page = Self.text(PackageResources.report_html)
    // From the last place to the first: what is put in cannot hold a place that is still sought.
    let parts = [
      ("/*SCRIPT*/", Self.text(PackageResources.report_js)),
      ("/*PICTURES*/", try Self.pictureText(names, store, on: pool)),
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

  /// Names of all pictures and difference maps, prompt by prompt.
  private static func pictures(
    _ report: ComparisonReport, _ store: ComparisonStore
  ) -> [String] {
    report.cells.subjects.flatMap { subject in
      report.cells.levels.flatMap { level in
        ["", "-difference"].filter { $0.isEmpty || level.kind != .reference }.map {
          store.imageName(level.name, prompt: subject.prompt, seed: subject.seed, ending: $0)
        }
      }
    }
  }

  /// The pictures as members of an object, so small that all fit.
  private static func pictureText(
    _ names: [String], _ store: ComparisonStore, on pool: ThreadPool
  ) throws -> String {
    let total = names.reduce(0) { $0 + FileIdentity.byteCount(of: store.path($1)) }
    let share = min(1, Double(pictureBytes) / Double(max(1, total)))
    let members = Mutex([String?](repeating: nil, count: names.count))
    try pool.run(names.count, scratchCount: 0) { index, _ in
      guard let data = FileSystem.content(of: store.path(names[index])),
        let small = share < 1 ? reduced(data, to: share) : data
      else { return }
      let member =
        JSONValue.string(names[index]).text() + ":\"data:image/png;base64,"
        + Data(small).base64EncodedString() + "\""
      members.withLock { $0[index] = member }
    }
    return "{" + members.withLock { $0 }.compactMap { $0 }.joined(separator: ",\n") + "}"
  }

  /// A picture whose file has about a share of its bytes; nil if it is damaged.
  private static func reduced(_ data: [UInt8], to share: Double) -> [UInt8]? {
    guard let image = try? RGBImage(pngData: data) else { return nil }
    let side = Double(max(image.width, image.height)) * share.squareRoot()
    return try? image.reduced(toSide: max(leastSide, Int(side))).pngData()
  }
}
