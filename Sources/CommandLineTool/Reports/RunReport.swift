import Foundation
import Machine
import StrictJSON
import TextToImage

/// A picture that was made, as reports tell of it.
struct FinishedPicture: Sendable {
  /// Number of its prompt in the run.
  let job: Int
  /// Its number among its prompt's.
  let index: Int
  /// Its file; nil if it could be written nowhere.
  let file: String?
  let seed: UInt64
  let settings: GenerationSettings
  let droppedTokens: DroppedTokens.Counts
  /// Signs that it is not a picture.
  let warnings: [String]
  /// Empty unless they are going to be saved.
  let latents: [Float]
}

/// The outcome of a run of `generate` for `--stats` and `--json`.
struct RunReport {
  private let pictures: [FinishedPicture]
  /// Time of all pictures, and the peak memory.
  private let statistics: GenerationStatistics
  private let model: String
  private let namesPrompts: Bool

  /// - Parameters:
  ///   - pictures: all that were finished, in order.
  ///   - statistics: of the run.
  ///   - model: its name.
  ///   - namesPrompts: whether each picture has a prompt and settings of its own.
  init(
    _ pictures: [FinishedPicture], _ statistics: GenerationStatistics, model: String,
    namesPrompts: Bool
  ) {
    self.pictures = pictures
    self.statistics = statistics
    self.model = model
    self.namesPrompts = namesPrompts
  }

  /// Files, settings, seconds per stage and step, and peak memory.
  var json: JSONValue {
    let images = pictures.map { picture -> JSONValue in
      let own: [JSONValue.Member] = [
        .init(key: "file", value: picture.file.map { .path($0) } ?? .null),
        .init(key: "seed", value: .seed(picture.seed)),
        .init(key: "warnings", value: .array(picture.warnings.map { .string($0) })),
      ]
      return .object(own + (namesPrompts ? promptMembers(picture) : []))
    }
    let encoder: [JSONValue.Member] =
      pictures.contains { $0.settings.strength != nil }
      ? [.init(key: "encoder", value: .double(statistics.encoderSeconds))] : []
    let others: JSONValue = [
      "textEncoder": .double(statistics.textEncoderSeconds),
      "schedule": .double(statistics.scheduleSeconds),
      "steps": .array(statistics.stepSeconds.map { .double($0) }),
      "decoder": .double(statistics.decoderSeconds),
      "total": .double(statistics.totalSeconds),
    ]
    let seconds = JSONValue.object(encoder + (others.members ?? []))
    let perStep =
      statistics.stepSeconds.reduce(0, +) / Double(max(1, statistics.stepSeconds.count))
    return .object(
      [
        .init(key: "images", value: .array(images)), .init(key: "model", value: .string(model)),
      ] + (namesPrompts ? [] : pictures.first.map(settingMembers) ?? []) + [
        .init(key: "seconds", value: seconds),
        .init(key: "secondsPerStep", value: .double(perStep)),
        .init(key: "peakResidentBytes", value: .integer(statistics.peakResidentBytes)),
      ])
  }

  private func promptMembers(_ picture: FinishedPicture) -> [JSONValue.Member] {
    [
      .init(key: "prompt", value: .string(picture.settings.prompt)),
      .init(key: "negativePrompt", value: .string(picture.settings.negativePrompt)),
    ] + settingMembers(picture)
  }

  private func settingMembers(_ picture: FinishedPicture) -> [JSONValue.Member] {
    picture.settings.commonMembers + [
      .init(key: "droppedTokens", value: .integer(picture.droppedTokens.sequence)),
      .init(key: "droppedPooledTokens", value: .integer(picture.droppedTokens.pooled)),
    ]
  }

  /// One line for `--verbose`.
  var summary: String {
    return String(
      format: "%.2f s: text %.2f, schedule %.2f, steps %.2f, decoder %.2f; peak memory ",
      statistics.totalSeconds, statistics.textEncoderSeconds, statistics.scheduleSeconds,
      statistics.stepSeconds.reduce(0, +), statistics.decoderSeconds)
      + formattedBytes(statistics.peakResidentBytes)
  }
}
