import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// Rounding for what enters each matrix of the transformer in real pictures.
struct CalibrationOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Round each matrix of transformer and text encoders for what enters it in pictures of these "
        + "prompts, one per line (- is standard input): half the error in the same bytes.",
      valueName: "prompts"), completion: .file())
  var calibrate: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Noise levels of prompts to calibrate on; 24 are better than none, 96 enough (default: 64).",
      valueName: "count"))
  var calibratePoints: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Side of the pictures on which is calibrated (default: the model's, at most 256).",
      valueName: "pixels"))
  var calibrateSide: Int?

  @Flag(
    name: .customLong("targets"), inversion: .prefixedNo,
    help: ArgumentHelp(
      "With --calibrate: move each matrix to make up for those before it; takes twice the time."))
  var hasTargets = true

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Where the work of --calibrate is kept until OUT is whole (default: beside OUT, with "
        + ".calibration).", valueName: "folder"), completion: .directory)
  var calibrationFolder: String?

  /// Points to calibrate on.
  var points: Int { calibratePoints ?? 64 }

  /// Whether it is asked for.
  var isUsed: Bool { calibrate != nil }

  mutating func validate() throws {
    guard calibrate != "" else { throw ValidationError("--calibrate names no file") }
    guard calibrationFolder != "" else {
      throw ValidationError("--calibration-folder names no folder")
    }
    guard (1...4096).contains(points) else {
      throw ValidationError("--calibrate-points \(points) is outside of 1...4096")
    }
    if let calibrateSide, !(16...4096).contains(calibrateSide) {
      throw ValidationError("--calibrate-side \(calibrateSide) is outside of 16...4096")
    }
    if !isUsed,
      calibratePoints != nil || calibrateSide != nil || !hasTargets
        || calibrationFolder != nil
    {
      throw ValidationError(
        "--calibrate-points, --calibrate-side, --no-targets and --calibration-folder are for "
          + "--calibrate")
    }
  }

  /// What the prompts come from, for messages.
  var source: String { calibrate == "-" ? StandardStreams.inputName : calibrate ?? "" }

  /// Where work is kept.
  func folder(output: String) -> String { calibrationFolder ?? output + ".calibration" }

  /// The prompts; standard input can be read once only.
  func texts(_ console: Console) throws(ModelFileError) -> [String] {
    let lines = try PromptLines.parse(
      TextInput.read(path: calibrate ?? "", "a file of prompts, one per line"), path: source)
    var options = PromptOptions()
    options.prompts = calibrate
    options.noteIdle(Set(PromptKey.allCases), in: lines, console)
    return lines.map(\.text)
  }

  /// On what is calibrated.
  func settings(_ pipeline: Pipeline, _ prompts: [String]) -> CalibrationSettings {
    let side = calibrateSide ?? min(256, pipeline.defaults.width, pipeline.defaults.height)
    let multiple = pipeline.sizeMultiple
    var settings = CalibrationSettings(
      prompts: prompts, side: max(multiple, side / multiple * multiple))
    settings.points = points
    return settings
  }
}
