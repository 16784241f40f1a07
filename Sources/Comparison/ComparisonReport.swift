import Foundation
import ModelFiles
import StrictJSON
import Tensors
import TextToImage

/// Everything that a comparison found out, in the forms in which it is told.
package struct ComparisonReport: Sendable {
  package let cells: ComparisonCells
  /// In the order of `cells.levels`.
  package let summaries: [LevelSummary]
  let settings: ComparisonSettings
  /// Version of the program.
  let version: String

  /// - Parameters:
  ///   - cells: all measures.
  ///   - facts: of each level's weights.
  ///   - scores: what pictures show, if that was judged.
  ///   - settings: what was compared.
  ///   - version: of the program.
  package init(
    _ cells: ComparisonCells, facts: [LevelFacts], scores: ScoreTable?,
    _ settings: ComparisonSettings, version: String
  ) {
    self.cells = cells
    self.settings = settings
    self.version = version
    summaries = cells.levels.indices.map { index in
      LevelSummary(
        cells.levels[index], facts[index], cells.records[index],
        scores?.levels[cells.levels[index].name])
    }
  }

  /// Writes every form of the report.
  ///
  /// - Throws: `ModelFileError` if a file cannot be written.
  package func write(to store: ComparisonStore) throws {
    try store.write(json(store).text(indentation: 2) + "\n", to: "results.json")
    try store.write(csv(store), to: "results.csv")
    try store.write(ContactSheet(self, store).image, to: "contact-sheet.png")
    try store.write(try ReportPage(self, store).html, to: "report.html")
  }

  /// The settings of the cells of a prompt.
  func settings(ofPrompt prompt: Int) -> GenerationSettings? {
    cells.subjects.first { $0.prompt == prompt }?.settings
  }

  // MARK: results.json

  /// `levels`, `cells` and `settings`. Numbers that are infinite, such as the PSNR of pictures that
  /// are the same, are null.
  func json(_ store: ComparisonStore) -> JSONValue {
    let prompts: [JSONValue] = settings.prompts.indices.map { index in
      let settings = settings(ofPrompt: index)
      return [
        "prompt": .string(self.settings.prompts[index].text),
        "negativePrompt": .string(self.settings.prompts[index].negativePrompt),
        "width": .integer(settings?.width ?? 0), "height": .integer(settings?.height ?? 0),
        "steps": .integer(settings?.steps ?? 0),
        "guidanceScale": .double(settings?.guidanceScale ?? 0),
        "shift": .double(settings?.shift ?? 0),
        "maxSequenceLength": .integer(settings?.maxSequenceLength ?? 0),
      ]
    }
    return [
      "version": .string(version),
      "settings": [
        "reference": .string(cells.levels[0].name),
        "seeds": .array(settings.seeds.map { .string("\($0)") }),
        "velocityPoints": .integer(settings.velocityPoints),
        "activations": .string(cells.levels[0].activations.rawValue),
        "threads": .integer(settings.threadCount ?? availableCoreCount()),
        "prompts": .array(prompts),
      ],
      "levels": .array(summaries.map(\.json)),
      "cells": .array(rows(store).map { row in cellJSON(row) }),
    ]
  }

  /// One cell with its place.
  struct Row {
    let level: String
    let prompt: Int
    let seed: UInt64
    let image: String
    let record: CellRecord
  }

  func rows(_ store: ComparisonStore) -> [Row] {
    zip(cells.levels, cells.records).flatMap { level, records in
      zip(cells.subjects, records).map { subject, record in
        Row(
          level: level.name, prompt: subject.prompt, seed: subject.seed,
          image: store.imageName(level.name, prompt: subject.prompt, seed: subject.seed),
          record: record)
      }
    }
  }

  private func cellJSON(_ row: Row) -> JSONValue {
    .object(
      [
        .init(key: "level", value: .string(row.level)),
        .init(key: "prompt", value: .integer(row.prompt)),
        .init(key: "seed", value: .string("\(row.seed)")),
        .init(key: "image", value: .string(row.image)),
      ] + (row.record.json.members ?? []))
  }

  // MARK: results.csv

  /// One line for each cell.
  func csv(_ store: ComparisonStore) -> String {
    let titles = [
      "level", "prompt", "seed", "psnr", "ssim", "ms_ssim", "flip", "latent_error",
      "velocity_error", "seconds_per_step", "peak_bytes", "image", "text",
    ]
    let lines = rows(store).map { row -> String in
      let measures = row.record.measures
      func text(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
      let fields = [
        row.level, "\(row.prompt + 1)", "\(row.seed)", text(measures?.psnr), text(measures?.ssim),
        text(measures?.multiScaleSSIM), text(measures?.flip), text(measures?.latentErrors.last),
        text(measures?.velocityError), text(row.record.secondsPerStep), "\(row.record.peakBytes)",
        row.image, settings.prompts[row.prompt].text,
      ]
      return fields.map(Self.quoted).joined(separator: ",")
    }
    return ([titles.joined(separator: ",")] + lines).joined(separator: "\n") + "\n"
  }

  /// A field after RFC 4180.
  private static func quoted(_ field: String) -> String {
    guard field.unicodeScalars.contains(where: { [",", "\"", "\n", "\r"].contains($0) }) else {
      return field
    }
    return "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }
}
