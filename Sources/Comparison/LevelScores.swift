import Foundation
import ModelFiles
import StrictJSON

/// How many pictures of a level show what was asked for.
package struct LevelScores: Sendable, Equatable {
  /// Right answers and questions, by what was asked: subject, background, style.
  package let counts: [(aspect: String, right: Int, total: Int)]

  package static func == (left: LevelScores, right: LevelScores) -> Bool {
    left.counts.elementsEqual(right.counts, by: ==)
  }

  var json: JSONValue {
    .object(
      counts.map { count in
        .init(
          key: count.aspect,
          value: ["right": .integer(count.right), "total": .integer(count.total)])
      })
  }
}

/// A table of `tools/score`: for each picture whether subject, background and style are right.
///
/// Columns are found by name: `file`, whose folder is the level, and `subject_right`,
/// `background_right`, `style_right` with 1 or 0, or nothing where the question does not apply.
package struct ScoreTable: Sendable {
  private static let aspects = ["subject", "background", "style"]
  /// By level.
  package let levels: [String: LevelScores]

  /// Reads the table; nil where the file does not exist.
  ///
  /// - Throws: `ModelFileError` if the table is malformed.
  package init?(path: String) throws(ModelFileError) {
    guard let data = FileSystem.content(of: path) else { return nil }
    try self.init(text: String(decoding: data, as: UTF8.self), path: path)
  }

  init(text: String, path: String) throws(ModelFileError) {
    let rows = Self.rows(text)
    guard let header = rows.first, let file = header.firstIndex(of: "file") else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "has no column 'file': expected the table of tools/score")
    }
    var counts: [String: [String: (right: Int, total: Int)]] = [:]
    for (number, row) in rows.enumerated().dropFirst() {
      guard row.count == header.count else {
        throw ModelFileError(
          path: path, kind: .malformed,
          fault: "line \(number + 1) has \(row.count) columns, expected \(header.count)")
      }
      // Folders of pictures hold difference maps too.
      guard !row[file].hasSuffix("-difference.png") else { continue }
      let level = (row[file] as NSString).deletingLastPathComponent
      let name = (level as NSString).lastPathComponent
      for aspect in Self.aspects {
        guard let column = header.firstIndex(of: aspect + "_right") else { continue }
        guard let isRight = Self.flag(row[column]) else { continue }
        let known = counts[name, default: [:]][aspect] ?? (0, 0)
        counts[name, default: [:]][aspect] = (known.right + (isRight ? 1 : 0), known.total + 1)
      }
    }
    levels = counts.mapValues { found in
      LevelScores(
        counts: Self.aspects.compactMap { aspect in
          found[aspect].map { (aspect, $0.right, $0.total) }
        })
    }
  }

  private static func flag(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "1", "true", "yes": true
    case "0", "false", "no": false
    default: nil
    }
  }

  /// Fields of comma-separated values after RFC 4180: quotes may hold commas, lines and quotes.
  static func rows(_ text: String) -> [[String]] {
    var rows: [[String]] = []
    var row: [String] = []
    var field = ""
    var isQuoted = false
    var scalars = text.unicodeScalars.makeIterator()
    var next = scalars.next()
    func isLineEnd(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\r" }
    while let scalar = next {
      next = scalars.next()
      if isQuoted {
        if scalar != "\"" {
          field.unicodeScalars.append(scalar)
        } else if next == "\"" {
          field.append("\"")
          next = scalars.next()
        } else {
          isQuoted = false
        }
      } else if scalar == "\"" {
        isQuoted = true
      } else if scalar == "," || isLineEnd(scalar) {
        row.append(field)
        field = ""
        if isLineEnd(scalar) {
          if row != [""] { rows.append(row) }
          row = []
        }
      } else {
        field.unicodeScalars.append(scalar)
      }
    }
    if !field.isEmpty || !row.isEmpty { rows.append(row + [field]) }
    return rows
  }
}
