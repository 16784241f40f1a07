import Foundation
import Images
import Machine
import ModelFiles
import StrictJSON
import TextToImage

/// Everything that a comparison found out, in the forms in which it is told.
package struct ComparisonReport: Sendable {
  package let cells: ComparisonCells
  /// In the order of `cells.levels`.
  package let summaries: [LevelSummary]
  let settings: ComparisonSettings

  /// - Parameters:
  ///   - cells: all measures.
  ///   - facts: of each level's weights.
  ///   - scores: what pictures show, if that was judged.
  ///   - settings: what was compared.
  package init(
    _ cells: ComparisonCells, facts: [LevelFacts], scores: ScoreTable?,
    _ settings: ComparisonSettings
  ) {
    self.cells = cells
    self.settings = settings
    summaries = cells.levels.indices.map { index in
      LevelSummary(
        cells.levels[index], facts[index], cells.records[index],
        scores?.levels[cells.levels[index].name])
    }
  }

  /// Every form of the report, ready to be written.
  package struct Files: Sendable {
    let texts: [(name: String, text: String)]
    let contactSheet: RGBImage

    /// The numbers as JSON.
    package var json: String { texts.first { $0.name == "results.json" }?.text ?? "" }

    /// Hands over each file: its path, its name's ending and what makes its bytes.
    package func write(
      to store: ComparisonStore,
      _ write: (_ path: String, _ ending: String, _ content: () throws -> [UInt8]) -> Void
    ) {
      for (name, text) in texts { write(store.path(name), "", { Array(text.utf8) }) }
      write(store.path("contact-sheet.png"), ".png", { try contactSheet.pngData() })
    }
  }

  /// Makes every form of the report from what the store holds.
  ///
  /// - Parameters:
  ///   - store: where the pictures are.
  ///   - pool: threads to work on; cancelling it ends the work.
  /// - Returns: what to write.
  /// - Throws: `ComputeError` if cancelled.
  package func files(_ store: ComparisonStore, on pool: ThreadPool) throws -> Files {
    let page = try ReportPage(self, store, on: pool)
    return Files(
      texts: [
        ("results.json", json(store).text(indentation: 2) + "\n"), ("results.csv", csv(store)),
        ("pictures.jsonl", pictureList(store)), ("report.html", page.html),
      ], contactSheet: ContactSheet(self, store).image)
  }

  /// The settings of the cells of a prompt.
  func settings(ofPrompt prompt: Int) -> GenerationSettings? {
    cells.subjects.first { $0.prompt == prompt }?.settings
  }

  // MARK: results.json

  /// `levels`, `cells` and `settings`; prompts are counted from 1. Numbers that are infinite, such
  /// as the PSNR of pictures that are the same, are null.
  func json(_ store: ComparisonStore) -> JSONValue {
    let prompts: [JSONValue] = settings.prompts.indices.map { index in
      let settings = settings(ofPrompt: index)
      return [
        "prompt": .string(self.settings.prompts[index].text),
        "negativePrompt": .string(self.settings.prompts[index].negativePrompt ?? ""),
        "width": .integer(settings?.width ?? 0), "height": .integer(settings?.height ?? 0),
        "steps": .integer(settings?.steps ?? 0),
        "guidanceScale": .double(settings?.guidanceScale ?? 0),
        "shift": .double(settings?.shift ?? 0),
        "maxSequenceLength": .integer(settings?.maxSequenceLength ?? 0),
      ]
    }
    return [
      "version": .string(settings.version),
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
        .init(key: "prompt", value: .integer(row.prompt + 1)),
        .init(key: "seed", value: .string("\(row.seed)")),
        .init(key: "image", value: .string(row.image)),
      ] + (row.record.json.members ?? []))
  }

  // MARK: pictures.jsonl

  /// One object for each picture that there is, as `tools/score` takes them.
  func pictureList(_ store: ComparisonStore) -> String {
    rows(store).filter { $0.record.failure == nil }.map { row in
      let picture: JSONValue = [
        "file": .string(row.image), "prompt": .string(settings.prompts[row.prompt].text),
      ]
      return picture.text() + "\n"
    }.joined()
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
        text(measures?.velocityError), text(row.record.secondsPerStep),
        row.record.peakBytes.map { "\($0)" } ?? "",
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
