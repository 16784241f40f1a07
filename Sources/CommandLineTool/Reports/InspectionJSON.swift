import Checkpoints
import ModelFiles
import StrictJSON

/// The inspection as JSON, written piece by piece: files may list very many tensors.
struct InspectionJSON {
  private let inspection: ModelInspection
  private let trial: InspectionTrial
  private var output = BufferedOutput()
  private var limits = InspectionLimits()

  /// - Parameters:
  ///   - inspection: what is shown.
  ///   - trial: what opening a model with all parts told.
  init(_ inspection: ModelInspection, _ trial: InspectionTrial) {
    self.inspection = inspection
    self.trial = trial
  }

  /// Prints the object.
  mutating func print() {
    let bytes = inspection.contents.reduce(0) { $0 + $1.archive.byteCount }
    write("{\n  \"path\": \(JSONValue.path(inspection.path).text()),\n")
    write("  \"layout\": \(JSONText.quoted(inspection.layout)),\n")
    write(
      "  \"architecture\": \(inspection.architecture.map(JSONText.quoted) ?? "null"),\n")
    write("  \"family\": \(inspection.statedFamily.map(JSONText.quoted) ?? "null"),\n")
    write("  \"bytes\": \(bytes),\n")
    list("files", inspection.contents.map { .path($0.archive.path) })
    list(
      "parts",
      inspection.parts.map {
        [
          "part": .string($0.part.name), "path": .path($0.path), "names": .string($0.scheme),
          "prefix": .string($0.prefix),
        ]
      })
    for (place, path) in inspection.tokenizers {
      write(
        "  \"\(key(of: place))\": \(path.map { JSONValue.path($0).text() } ?? "null"),\n")
    }
    list("missing", inspection.missing.map { .string($0) })
    write("  \"kind\": \(inspection.kind.map(JSONText.quoted) ?? "null"),\n")
    list("ambiguities", inspection.ambiguities.map { .path($0) })
    list("faults", inspection.faults.map { .path($0.description) })
    let isRunnable =
      inspection.missing.isEmpty && inspection.ambiguities.isEmpty && trial.obstacle == nil
    write("  \"runnable\": \(isRunnable),\n")
    write(
      "  \"obstacle\": "
        + "\(trial.obstacle.map { JSONValue.path($0.description).text() } ?? "null"),\n")
    write("  \"sampler\": \(trial.sampler.map(JSONText.quoted) ?? "null"),\n")
    write(
      "  \"schedulerFault\": "
        + "\(trial.schedulerFault.map { JSONValue.path($0).text() } ?? "null"),\n")
    write(
      "  \"tensorsNotInIndex\": "
        + "\(inspection.contents.reduce(0) { $0 + $1.archive.unlistedCount }),\n")
    list("types", Total.byType(inspection.contents).map(\.json))
    list("partTotals", Total.byPart(inspection.contents).map(\.json))
    printMetadata()
    printTensors()
    write("}\n")
    output.flush()
  }

  /// The command line option as programs write it: `clipTokenizer`.
  private func key(of place: TokenizerPlace) -> String {
    let words = place.option.split(separator: "-")
    return words.dropFirst().reduce(words.first.map { String($0) } ?? "") {
      $0 + $1.prefix(1).uppercased() + $1.dropFirst()
    }
  }

  private mutating func printMetadata() {
    write("  \"metadata\": {")
    var separator = "\n"
    for content in inspection.contents {
      content.archive.gguf?.forEachPair { key, value in
        write("\(separator)    \(JSONText.quoted(key)): \(json(value).text())")
        separator = ",\n"
      }
      for (key, value) in content.archive.safetensorsMetadata {
        write("\(separator)    \(JSONText.quoted(key)): \(JSONText.quoted(value))")
        separator = ",\n"
      }
    }
    write("\n  },\n")
  }

  private mutating func printTensors() {
    write("  \"tensors\": [")
    var separator = "\n"
    for content in inspection.contents {
      for (record, part) in zip(content.archive.tensors.records, content.parts) {
        write(
          "\(separator)    {\"name\": \(JSONText.quoted(record.name)), \"type\": \"\(record.type.name)\","
            + " \"shape\": \(record.shape), \"bytes\": \(record.byteCount), \"part\": "
            + "\(part.map { JSONText.quoted($0.name) } ?? "null")}")
        separator = ",\n"
      }
    }
    write("\n  ]\n")
  }

  private mutating func json(_ value: GGUFValue) -> JSONValue {
    if let count = value.elementCount, let type = value.elementType {
      let elements = value.elements(limit: InspectionLimits.elements) ?? []
      var shown: [JSONValue] = []
      for element in elements { shown.append(json(element)) }
      return [
        "type": .string("array"), "elementType": .string(type.name), "count": .integer(count),
        "first": .array(shown),
      ]
    }
    if let length = value.stringLength {
      guard length <= InspectionLimits.textLength, limits.allows(length), let text = value.string
      else { return .string("(\(length) bytes of text)") }
      return .string(text)
    }
    if let flag = value.bool { return .bool(flag) }
    if let integer = value.integer { return .integer(integer) }
    if let unsigned = value.unsigned { return .string("\(unsigned)") }
    return value.double.map { .double($0) } ?? .null
  }

  private mutating func list(_ key: String, _ values: [JSONValue]) {
    write("  \"\(key)\": \(JSONValue.array(values).text()),\n")
  }

  private mutating func write(_ text: String) { output.write(text) }
}
