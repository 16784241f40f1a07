import BlockFormats
import Checkpoints
import Foundation
import ModelFiles
import StrictJSON

/// Elements of a metadata array that are shown.
private let shownElements = 8
/// Characters of a name or metadata text that are shown to people.
private let shownCharacters = 200
/// Bytes of a metadata text from which only its length is shown.
private let longText = 1 << 20

/// Tensors and bytes of one type or part.
private struct Total {
  let name: String
  var tensors = 0
  var elements = 0
  var bytes = 0

  /// Sums up tensors by a label, in order of first appearance.
  static func sums(
    _ contents: [ModelInspection.Contents], by label: (TensorRecord, ModelPart?) -> String
  ) -> [Total] {
    var totals: [Total] = []
    var indexByName: [String: Int] = [:]
    for content in contents {
      for (record, part) in zip(content.archive.tensors.records, content.parts) {
        let name = label(record, part)
        let index = indexByName[name] ?? totals.count
        if index == totals.count {
          indexByName[name] = index
          totals.append(Total(name: name))
        }
        totals[index].tensors += 1
        totals[index].elements = totals[index].elements &+ record.elementCount
        totals[index].bytes = totals[index].bytes &+ record.byteCount
      }
    }
    return totals
  }

  static func byType(_ contents: [ModelInspection.Contents]) -> [Total] {
    sums(contents) { record, _ in record.type.name }
  }

  static func byPart(_ contents: [ModelInspection.Contents]) -> [Total] {
    sums(contents) { _, part in part?.rawValue ?? "other" }
  }

  var json: JSONValue {
    [
      "name": .string(name), "tensors": .integer(tensors), "elements": .integer(elements),
      "bytes": .integer(bytes),
    ]
  }
}

/// The inspection as text for a person.
struct InspectionText {
  private let inspection: ModelInspection
  private let console: Console

  init(_ inspection: ModelInspection, console: Console) {
    self.inspection = inspection
    self.console = console
  }

  /// Prints line by line.
  func print() {
    line("\(inspection.path): \(inspection.layout)")
    line("architecture: \(inspection.architecture ?? "not stated")")
    for part in inspection.parts {
      let prefix = part.prefix.isEmpty ? "" : ", prefix '\(part.prefix)'"
      line("\(part.part.rawValue): \(part.path) (\(part.scheme) names\(prefix))")
    }
    for content in inspection.contents {
      printMetadata(content.archive)
      line("")
      line("tensors of \(content.archive.path): \(content.archive.tensors.records.count)")
      for record in content.archive.tensors.records {
        line(
          "  \(shortened(record.name))  \(record.type.name)  \(record.shape)  \(record.byteCount) bytes"
        )
      }
    }
    line("")
    printTotals("types", Total.byType(inspection.contents))
    printTotals("parts", Total.byPart(inspection.contents))
    line(
      inspection.missing.isEmpty
        ? "all parts are here; generate checks every tensor when it opens them"
        : "to run it, these are missing here: \(inspection.missing.joined(separator: ", "))")
  }

  private func printMetadata(_ archive: TensorArchive) {
    let pairs =
      archive.gguf.map { gguf in gguf.metadata.map { ($0.key, describe($0.value)) } }
      ?? archive.safetensorsMetadata.map { ($0.key, shortened($0.value)) }
    guard !pairs.isEmpty else { return }
    line("")
    line("metadata of \(archive.path): \(pairs.count)")
    for (key, value) in pairs { line("  \(shortened(key)) = \(value)") }
  }

  private func printTotals(_ title: String, _ totals: [Total]) {
    line("\(title):")
    for total in totals {
      line(
        "  \(total.name): \(total.tensors) tensors, \(total.elements) elements, "
          + formattedBytes(total.bytes))
    }
  }

  private func describe(_ value: GGUFValue) -> String {
    if let count = value.elementCount, let type = value.elementType {
      let shown = (value.elements(limit: shownElements) ?? []).map(describe)
      let rest = count > shownElements ? ", ..." : ""
      return "\(count) x \(type.name) [\(shown.joined(separator: ", "))\(rest)]"
    }
    if let length = value.stringLength, length > longText { return "(\(length) bytes of text)" }
    if let text = value.string { return shortened(text) }
    if let flag = value.bool { return "\(flag)" }
    if let integer = value.integer { return "\(integer)" }
    if let unsigned = value.unsigned { return "\(unsigned)" }
    return value.double.map { "\($0)" } ?? ""
  }

  private func shortened(_ text: String) -> String {
    // Counting bytes first: counting characters walks the whole text.
    text.utf8.count > shownCharacters ? text.prefix(shownCharacters) + "..." : text
  }

  private func line(_ text: String) { console.result(text.withoutControlCharacters) }
}

/// The inspection as JSON, written piece by piece: files may list very many tensors.
struct InspectionJSON {
  private let inspection: ModelInspection

  init(_ inspection: ModelInspection) { self.inspection = inspection }

  /// Prints the object.
  func print() {
    let bytes = inspection.contents.reduce(0) { $0 + $1.archive.byteCount }
    write("{\n  \"path\": \(JSONText.quoted(inspection.path)),\n")
    write("  \"layout\": \(JSONText.quoted(inspection.layout)),\n")
    write(
      "  \"architecture\": \(inspection.architecture.map(JSONText.quoted) ?? "null"),\n")
    write("  \"bytes\": \(bytes),\n")
    list("files", inspection.contents.map { .string($0.archive.path) })
    list(
      "parts",
      inspection.parts.map {
        [
          "part": .string($0.part.rawValue), "path": .string($0.path), "names": .string($0.scheme),
          "prefix": .string($0.prefix),
        ]
      })
    list("missing", inspection.missing.map { .string($0) })
    list("types", Total.byType(inspection.contents).map(\.json))
    list("partTotals", Total.byPart(inspection.contents).map(\.json))
    printMetadata()
    printTensors()
    write("}\n")
  }

  private func printMetadata() {
    write("  \"metadata\": {")
    var separator = "\n"
    for content in inspection.contents {
      let pairs: [(String, JSONValue)] =
        content.archive.gguf.map { gguf in gguf.metadata.map { ($0.key, json($0.value)) } }
        ?? content.archive.safetensorsMetadata.map { ($0.key, .string($0.value)) }
      for (key, value) in pairs {
        write("\(separator)    \(JSONText.quoted(key)): \(value.text())")
        separator = ",\n"
      }
    }
    write("\n  },\n")
  }

  private func printTensors() {
    write("  \"tensors\": [")
    var separator = "\n"
    for content in inspection.contents {
      for (record, part) in zip(content.archive.tensors.records, content.parts) {
        write(
          "\(separator)    {\"name\": \(JSONText.quoted(record.name)), \"type\": \"\(record.type.name)\","
            + " \"shape\": \(record.shape), \"bytes\": \(record.byteCount), \"part\": "
            + "\(part.map { JSONText.quoted($0.rawValue) } ?? "null")}")
        separator = ",\n"
      }
    }
    write("\n  ]\n")
  }

  private func json(_ value: GGUFValue) -> JSONValue {
    if let count = value.elementCount, let type = value.elementType {
      let shown = (value.elements(limit: shownElements) ?? []).map(json)
      return [
        "type": .string("array"), "elementType": .string(type.name), "count": .integer(count),
        "first": .array(shown),
      ]
    }
    if let length = value.stringLength, length > longText {
      return .string("(\(length) bytes of text)")
    }
    if let text = value.string { return .string(text) }
    if let flag = value.bool { return .bool(flag) }
    if let integer = value.integer { return .integer(integer) }
    if let unsigned = value.unsigned { return .string("\(unsigned)") }
    return value.double.map { .double($0) } ?? .null
  }

  private func list(_ key: String, _ values: [JSONValue]) {
    write("  \"\(key)\": \(JSONValue.array(values).text()),\n")
  }

  private func write(_ text: String) { Console.writeOutput(text) }
}
