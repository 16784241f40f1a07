import Checkpoints
import Machine
import ModelFiles
import TextToImage

/// What opening a model with all parts told, as generate does it.
struct InspectionTrial {
  /// Why it cannot be run; nil if it can, or was not tried.
  var obstacle: ModelFileError?
  /// The sampler that it asks for; nil if it was not opened, or asks for what is not supported.
  var sampler: String?
  /// What its scheduler asks for that is not supported.
  var schedulerFault: String?
}

/// What is shown of long metadata.
struct InspectionLimits {
  /// Elements of an array.
  static let elements = 8
  /// Code points of a name or text, for people.
  static let characters = 200
  /// Bytes of a text from which only its length is shown.
  static let textLength = 1 << 20

  /// Bytes of metadata texts that are shown in all; escaped, they may take six times as much.
  private var allowance = 4 << 20

  /// Whether a text of so many bytes is shown, and not its length only.
  mutating func allows(_ bytes: Int) -> Bool {
    guard bytes <= allowance else { return false }
    allowance -= bytes
    return true
  }
}

/// The inspection as text for a person.
struct InspectionText {
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

  /// Prints line by line.
  mutating func print() {
    line("\(inspection.path): \(inspection.layout)")
    line("architecture: \(inspection.architecture ?? "not stated")")
    if let family = inspection.statedFamily { line("family: \(family)") }
    for part in inspection.parts {
      let prefix = part.prefix.isEmpty ? "" : ", prefix '\(part.prefix)'"
      line("\(part.part.name): \(part.path) (\(part.scheme) names\(prefix))")
    }
    for (place, path) in inspection.tokenizers {
      if let path { line("\(place.name): \(path)") }
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
      if content.archive.unlistedCount > 0 {
        line("the last \(content.archive.unlistedCount) of them are not listed in the index")
      }
    }
    line("")
    printTotals("types", Total.byType(inspection.contents))
    printTotals("parts", Total.byPart(inspection.contents))
    for text in verdict { line(text) }
    output.flush()
  }

  /// What can be done with it.
  private var verdict: [String] {
    let faults = inspection.faults.map { "cannot be used: \($0)" }
    let kind = inspection.kind.map { ["it is \($0)"] } ?? []
    if inspection.isAdapter { return kind + faults }
    guard inspection.missing.isEmpty else {
      let missing = inspection.missing.joined(separator: ", ")
      return kind + faults + inspection.ambiguities
        + ["to run it, these are missing here: \(missing)"]
    }
    if let obstacle = trial.obstacle {
      return inspection.ambiguities + ["all parts are here, but: \(obstacle)"]
    }
    return inspection.ambiguities.isEmpty
      ? faults + ["all parts are here, and generate opens them"] + sampling
      : faults + ["all parts are here, but " + inspection.ambiguities.joined(separator: "; ")]
  }

  /// How its scheduler wants steps made, where that is not the usual way.
  private var sampling: [String] {
    if let fault = trial.schedulerFault { return ["generate needs a --sampler: \(fault)"] }
    guard let sampler = trial.sampler, sampler != SamplerName.euler.rawValue else { return [] }
    return ["sampler: \(sampler), as its scheduler's configuration says"]
  }

  private mutating func printMetadata(_ archive: TensorArchive) {
    let count = archive.gguf?.metadata.count ?? archive.safetensorsMetadata.count
    guard count > 0 else { return }
    line("")
    line("metadata of \(archive.path): \(count)")
    archive.gguf?.forEachPair { key, value in
      line("  \(shortened(key)) = \(describe(value))")
    }
    for (key, value) in archive.safetensorsMetadata {
      line("  \(shortened(key)) = \(shortened(value))")
    }
  }

  private mutating func printTotals(_ title: String, _ totals: [Total]) {
    line("\(title):")
    for total in totals {
      line(
        "  \(total.name): \(total.tensors) tensors, \(total.elements) elements, "
          + formattedBytes(total.bytes))
    }
  }

  private mutating func describe(_ value: GGUFValue) -> String {
    if let count = value.elementCount, let type = value.elementType {
      let elements = value.elements(limit: InspectionLimits.elements) ?? []
      var shown: [String] = []
      for element in elements { shown.append(describe(element)) }
      let rest = count > InspectionLimits.elements ? ", ..." : ""
      return "\(count) x \(type.name) [\(shown.joined(separator: ", "))\(rest)]"
    }
    if let length = value.stringLength {
      // A code point has four bytes at most.
      let shown = min(length, 4 * InspectionLimits.characters + 1)
      guard length <= InspectionLimits.textLength, limits.allows(shown),
        let text = value.textPrefix(shown)
      else { return "(\(length) bytes of text)" }
      return shortened(text)
    }
    if let flag = value.bool { return "\(flag)" }
    if let integer = value.integer { return "\(integer)" }
    if let unsigned = value.unsigned { return "\(unsigned)" }
    return value.double.map { "\($0)" } ?? ""
  }

  private func shortened(_ text: String) -> String {
    // Code points, not characters: a single character may be as long as the whole text.
    text.utf8.count > InspectionLimits.characters
      ? String(String.UnicodeScalarView(text.unicodeScalars.prefix(InspectionLimits.characters)))
        + "..." : text
  }

  private mutating func line(_ text: String) { output.write(text.withoutControlCharacters + "\n") }
}
