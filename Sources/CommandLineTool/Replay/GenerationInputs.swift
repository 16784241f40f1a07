import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// What a run of `generate` reads beside the model: what was named, completed by what a picture's
/// file says.
struct GenerationInputs {
  /// What a picture to make again says; nil if there is none.
  let recorded: RecordedPicture?
  /// The prompts.
  let lines: [PromptLine]
  /// The model, with its adapters.
  let model: ModelOptions
  /// A picture to start from.
  let input: PictureInputOptions
  /// Of each line: the picture to start from, and the files of it by the options that name them.
  let starts: [(picture: StartPicture?, files: [(option: String, path: String)])]
  /// Latents to start from.
  let initial: LatentFile?
  /// The picture of a file of latents that is used alone; else nil.
  let latentsIndex: Int?
  /// Files of all lines, by the options that name them.
  private let adapters, latents: [(option: String, path: String, strength: Double?)]

  /// Reads them.
  ///
  /// - Throws: `ModelFileError` for a file that cannot be read, is not there or another one than
  ///   took part.
  init(_ command: GenerateCommand, _ console: Console) throws {
    let picture = command.picture
    let recorded = try picture.from.map { try RecordedPicture(path: $0) }
    self.recorded = recorded
    lines = try picture.prompts.lines() ?? recorded.map { [PromptLine($0.request.prompt)] } ?? []
    var model = command.model
    model.adapters = try model.adapters.completed(by: recorded)
    self.model = model
    input = try command.input.completed(by: recorded)
    // Options about pictures may be for lines that name one.
    if !lines.contains(where: { $0.initImage != nil }) { try input.expectComplete() }
    starts = try Self.starts(lines, input, picture.prompts, console)
    let latents =
      try recorded?.inputs("latents", given: [picture.latents].compactMap { $0 }).first
      ?? picture.latents
    let stored = try latents.map { try LatentFile(path: $0) }
    latentsIndex = recorded?.inputs("latents") == true ? recorded?.latentsIndex : nil
    if let latentsIndex, let recorded, let stored {
      guard let one = stored.picture(latentsIndex) else {
        throw recorded.fault("there is no picture \(latentsIndex) in its latents")
      }
      initial = one
    } else {
      initial = stored
    }
    adapters = model.adapters.paths.map { ("lora", $0.path, $0.strength) }
    self.latents = latents.map { [("latents", $0, nil)] } ?? []
  }

  /// The pictures to start from of each line. Files that several lines name are read once.
  private static func starts(
    _ lines: [PromptLine], _ input: PictureInputOptions, _ prompts: PromptOptions,
    _ console: Console
  ) throws -> [(picture: StartPicture?, files: [(option: String, path: String)])] {
    var known: [(line: PromptLine, picture: StartPicture?, files: [(String, String)])] = []
    return try zip(1..., lines).map { number, line in
      var own = PromptLine("")
      (own.initImage, own.mask, own.strength) = (line.initImage, line.mask, line.strength)
      if let start = known.first(where: { $0.line == own }) { return (start.picture, start.files) }
      do {
        let options = try input.completed(by: own)
        let start = (
          line: own, picture: try options.start(console),
          files: options.inputs.map { ($0.option, $0.path) }
        )
        known.append(start)
        return (start.picture, start.files)
      } catch let error as ValidationError where own != PromptLine("") {
        throw ValidationError("prompt \(number) of \(prompts.source): \(error.message)")
      }
    }
  }

  /// All files.
  var files: [String] {
    (adapters + latents).map(\.path) + starts.flatMap { $0.files.map(\.path) }
  }

  /// The files of each line as its pictures record them.
  var records: [[RecordedPicture.Input]] {
    var fingerprints: [String: String] = [:]
    return starts.map { start in
      let all = adapters + start.files.map { ($0.option, $0.path, nil) } + latents
      return all.compactMap { file in
        let known = fingerprints[file.path] ?? FileFingerprint.of(file.path)
        fingerprints[file.path] = known
        return known.map {
          RecordedPicture.Input(
            option: file.option, name: (file.path as NSString).lastPathComponent, fingerprint: $0,
            strength: file.strength)
        }
      }
    }
  }
}
