import ArgumentParser
import Foundation
import ModelFiles

/// The files that the pictures of one run go to.
struct OutputNames {
  private let pattern: String

  /// - Parameter pattern: a file name, or one with a number such as `%03d` in it; `-` is standard
  ///   output.
  init(_ pattern: String) { self.pattern = pattern }

  /// One name for each image: the pattern itself for a single one, numbered names for several.
  ///
  /// - Throws: `ValidationError` if the name cannot be numbered or is not that of a PNG.
  func names(count: Int) throws -> [String] {
    guard !pattern.isEmpty else { throw ValidationError("--output is empty") }
    let path = StandardStreams.outputPath(pattern)
    if path == StandardStreams.outputPath("-") {
      guard count == 1 else {
        throw ValidationError("--output -: standard output takes one picture, these are \(count)")
      }
      return [path]
    }
    let fileExtension = FileSystem.fileExtension(of: pattern)
    guard !["jpg", "jpeg", "webp", "gif", "bmp", "tiff"].contains(fileExtension) else {
      throw ValidationError("--output \(pattern): only PNG files are written")
    }
    let parts = try parts()
    if parts.contains(where: { if case .number = $0 { true } else { false } }) {
      return (0..<count).map { index in parts.map { $0.text(index) }.joined() }
    }
    let name = parts.map { $0.text(0) }.joined()
    guard count > 1 else { return [name] }
    let slash = name.lastIndex(of: "/") ?? name.startIndex
    let dot = name[slash...].lastIndex(of: ".") ?? name.endIndex
    return (0..<count).map { index in
      name[..<dot] + "_" + Self.padded(index, width: 3) + name[dot...]
    }
  }

  private enum Part {
    case literal(String)
    case number(width: Int, isZeroPadded: Bool)

    func text(_ index: Int) -> String {
      switch self {
      case .literal(let text): text
      case .number(let width, true): OutputNames.padded(index, width: width)
      case .number(let width, false):
        String(repeating: " ", count: max(0, width - "\(index)".count)) + "\(index)"
      }
    }
  }

  /// The pattern as printf reads it: `%%` is a percent sign, `%d`, `%3d` or `%03d` the number, and
  /// any other percent sign itself. The pattern never reaches printf.
  private func parts() throws -> [Part] {
    var parts: [Part] = []
    var numbers = 0
    var rest = pattern[...]
    while let percent = rest.firstIndex(of: "%") {
      parts.append(.literal(String(rest[..<percent])))
      rest = rest[percent...]
      if rest.hasPrefix("%%") {
        parts.append(.literal("%"))
        rest = rest.dropFirst(2)
      } else if let match = rest.prefixMatch(of: /%(0?)([0-9]{0,2})[diu]/) {
        numbers += 1
        parts.append(
          .number(width: Int(match.output.2) ?? 1, isZeroPadded: !match.output.1.isEmpty))
        rest = rest[match.range.upperBound...]
      } else {
        parts.append(.literal("%"))
        rest = rest.dropFirst()
      }
    }
    guard numbers <= 1 else {
      throw ValidationError("--output \(pattern): more than one number placeholder")
    }
    return parts + [.literal(String(rest))]
  }

  private static func padded(_ index: Int, width: Int) -> String {
    String(repeating: "0", count: max(0, width - "\(index)".count)) + "\(index)"
  }
}
