import ArgumentParser
import Foundation

/// The files that the pictures of one run go to.
struct OutputNames {
  private let pattern: String

  /// - Parameter pattern: a file name, or one with a number such as `%03d` in it.
  init(_ pattern: String) { self.pattern = pattern }

  /// One name for each image: the pattern itself for a single one, numbered names for several.
  ///
  /// - Throws: `ValidationError` if the name cannot be numbered or is no PNG's.
  func names(count: Int) throws -> [String] {
    guard !pattern.isEmpty else { throw ValidationError("--output is empty") }
    let fileExtension = URL(fileURLWithPath: pattern).pathExtension.lowercased()
    guard !["jpg", "jpeg", "webp", "gif", "bmp", "tiff"].contains(fileExtension) else {
      throw ValidationError("--output \(pattern): only PNG files are written")
    }
    if let placeholder = try numberPlaceholder() {
      return (0..<count).map {
        pattern.replacingCharacters(in: placeholder.range, with: placeholder.format($0))
          .replacingOccurrences(of: "%%", with: "%")
      }
    }
    guard count > 1 else { return [pattern] }
    let slash = pattern.lastIndex(of: "/") ?? pattern.startIndex
    let dot = pattern[slash...].lastIndex(of: ".") ?? pattern.endIndex
    return (0..<count).map { index in
      pattern[..<dot] + "_" + Self.padded(index, width: 3) + pattern[dot...]
    }
  }

  private struct Placeholder {
    let range: Range<String.Index>
    let width: Int
    let isZeroPadded: Bool

    func format(_ index: Int) -> String {
      isZeroPadded
        ? OutputNames.padded(index, width: width)
        : String(repeating: " ", count: max(0, width - "\(index)".count)) + "\(index)"
    }
  }

  /// The `%d`, `%3d` or `%03d` of the pattern. The pattern never reaches printf itself.
  private func numberPlaceholder() throws -> Placeholder? {
    let matches = pattern.matches(of: /%(0?)([0-9]{0,2})[diu]/)
    guard let match = matches.first else { return nil }
    guard matches.count == 1 else {
      throw ValidationError("--output \(pattern): more than one number placeholder")
    }
    return Placeholder(
      range: match.range, width: Int(match.output.2) ?? 1, isZeroPadded: !match.output.1.isEmpty)
  }

  private static func padded(_ index: Int, width: Int) -> String {
    String(repeating: "0", count: max(0, width - "\(index)".count)) + "\(index)"
  }
}
