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
  let start: StartPicture?
  /// Latents to start from.
  let initial: LatentFile?
  /// The picture of a file of latents that is used alone; else nil.
  let latentsIndex: Int?
  /// All files, by the options that name them.
  let files: [(option: String, path: String, strength: Double?)]

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
    start = try input.start(console)
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
    files =
      model.adapters.paths.map { ("lora", $0.path, $0.strength) }
      + input.inputs.map { ($0.option, $0.path, nil) }
      + (latents.map { [("latents", $0, nil)] } ?? [])
  }

  /// The files as pictures record them.
  var records: [RecordedPicture.Input] {
    files.compactMap { file in
      FileFingerprint.of(file.path).map {
        RecordedPicture.Input(
          option: file.option, name: (file.path as NSString).lastPathComponent, fingerprint: $0,
          strength: file.strength)
      }
    }
  }
}
