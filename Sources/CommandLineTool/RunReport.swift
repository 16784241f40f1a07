import Foundation
import StrictJSON
import TextToImage

/// The outcome of a generation for `--stats` and `--json`.
struct RunReport {
  private let result: GenerationResult
  private let images: [String]
  private let model: String

  init(_ result: GenerationResult, images: [String], model: String) {
    self.result = result
    self.images = images
    self.model = model
  }

  /// Files, settings, seconds per stage and step, and peak memory.
  var json: JSONValue {
    let statistics = result.statistics
    let settings = result.settings
    return [
      "images": .array(
        zip(images, settings.seeds).map { name, seed in
          [
            "file": .string(name),
            "seed": Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)"),
          ]
        }),
      "model": .string(model),
      "width": .integer(settings.width), "height": .integer(settings.height),
      "steps": .integer(settings.steps), "guidanceScale": .double(settings.guidanceScale),
      "shift": .double(settings.shift),
      "maxSequenceLength": .integer(settings.maxSequenceLength),
      "droppedTokens": .integer(result.droppedTokens.prompt),
      "seconds": [
        "textEncoder": .double(statistics.textEncoderSeconds),
        "schedule": .double(statistics.scheduleSeconds),
        "steps": .array(statistics.stepSeconds.map { .double($0) }),
        "decoder": .double(statistics.decoderSeconds),
        "total": .double(statistics.totalSeconds),
      ],
      "secondsPerStep": .double(
        statistics.stepSeconds.reduce(0, +) / Double(max(1, statistics.stepSeconds.count))),
      "peakResidentBytes": .integer(statistics.peakResidentBytes),
    ]
  }

  /// One line for `--verbose`.
  var summary: String {
    let statistics = result.statistics
    return String(
      format: "%.2f s: text %.2f, schedule %.2f, steps %.2f, decoder %.2f; peak memory ",
      statistics.totalSeconds, statistics.textEncoderSeconds, statistics.scheduleSeconds,
      statistics.stepSeconds.reduce(0, +), statistics.decoderSeconds)
      + formattedBytes(statistics.peakResidentBytes)
  }
}
