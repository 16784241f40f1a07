import Foundation
import StrictJSON
import Tensors
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
    let images: [JSONValue] = zip(images, settings.seeds).map { name, seed in
      ["file": .path(name), "seed": .seed(seed)]
    }
    let seconds: JSONValue = [
      "textEncoder": .double(statistics.textEncoderSeconds),
      "schedule": .double(statistics.scheduleSeconds),
      "steps": .array(statistics.stepSeconds.map { .double($0) }),
      "decoder": .double(statistics.decoderSeconds),
      "total": .double(statistics.totalSeconds),
    ]
    let perStep =
      statistics.stepSeconds.reduce(0, +) / Double(max(1, statistics.stepSeconds.count))
    return .object(
      [
        .init(key: "images", value: .array(images)), .init(key: "model", value: .string(model)),
      ] + settings.commonMembers + [
        .init(key: "droppedTokens", value: .integer(result.droppedTokens.prompt)),
        .init(key: "seconds", value: seconds),
        .init(key: "secondsPerStep", value: .double(perStep)),
        .init(key: "peakResidentBytes", value: .integer(statistics.peakResidentBytes)),
      ])
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
