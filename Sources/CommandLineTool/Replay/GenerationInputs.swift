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
  /// The encoded prompts; nil where texts are encoded.
  let embeds: PromptEmbeds?
  /// Another prompt to go towards, and other latents.
  private let embedsBlend: EmbedsBlend?
  private let latentsBlend: (file: LatentFile, path: String, share: Double)?
  /// The picture of a file of latents that is used alone; else nil.
  let latentsIndex: Int?
  /// Files of all lines, by the options that name them.
  private let adapters, others: [(option: String, path: String, strength: Double?)]

  /// Reads them.
  ///
  /// - Throws: `ModelFileError` for a file that cannot be read, is not there or another one than
  ///   took part.
  init(_ command: GenerateCommand, _ console: Console) throws {
    let picture = command.picture
    let recorded = try picture.from.map { try RecordedPicture(path: $0) }
    self.recorded = recorded
    let embedsPath = try Self.embedsPath(command, recorded)
    let embeds = try embedsPath.map { try PromptEmbeds(path: $0) }
    self.embeds = embeds
    lines =
      try picture.prompts.lines()
      ?? [PromptLine(embeds.map { $0.prompt ?? "" } ?? recorded?.request.prompt ?? "")]
    var model = command.model
    model.adapters = try model.adapters.completed(by: recorded)
    self.model = model
    input = try command.input.completed(by: recorded)
    // Options about pictures may be for lines that name one.
    if !lines.contains(where: { $0.initImage != nil }) { try input.expectComplete() }
    starts = try Self.starts(lines, input, picture.prompts, console)
    if input.keepUnmasked, !starts.contains(where: { $0.picture?.keepsUnmasked == true }) {
      throw ValidationError("--keep-unmasked is for --mask: no line that names a picture has one")
    }
    let latents =
      try recorded?.inputs("latents", given: [picture.latents].compactMap { $0 }).first
      ?? picture.latents
    let stored = try latents.map { try LatentFile(path: $0) }
    let encoded = command.encoded
    let blended = try Self.blended("blend-embeds", encoded.blendEmbeds, recorded)
    embedsBlend = try blended.map {
      EmbedsBlend(try PromptEmbeds(path: $0.path), share: $0.share)
    }
    let arc = try Self.blended("blend-latents", encoded.blendLatents, recorded)
    latentsBlend = try arc.map {
      (file: try LatentFile(path: $0.path), path: $0.path, share: $0.share)
    }
    let usesLatents = ["latents", "blend-latents"].contains { recorded?.inputs($0) == true }
    latentsIndex = usesLatents ? recorded?.latentsIndex : nil
    if let latentsIndex, let recorded, let stored {
      guard let one = stored.picture(latentsIndex) else {
        throw recorded.fault("there is no picture \(latentsIndex) in its latents")
      }
      initial = one
    } else {
      initial = stored
    }
    adapters = model.adapters.paths.map { ("lora", $0.path, $0.strength) }
    var others: [(option: String, path: String, strength: Double?)] = []
    for (option, path) in [("latents", latents), ("embeds", embedsPath)] {
      if let path { others.append((option, path, nil)) }
    }
    for (option, file) in [("blend-embeds", blended), ("blend-latents", arc)] {
      if let file { others.append((option, file.path, file.share)) }
    }
    self.others = others
  }

  /// A file to go towards: the one that was named, else the picture's.
  private static func blended(
    _ option: String, _ given: BlendedFile?, _ recorded: RecordedPicture?
  ) throws -> BlendedFile? {
    guard let recorded, let known = recorded.inputs.first(where: { $0.option == option }) else {
      return given
    }
    guard let share = given?.share ?? known.strength, share >= 0, share <= 1 else {
      throw recorded.fault("how far it goes towards '\(known.name)' is not told")
    }
    let paths = try recorded.inputs(option, given: [given?.path].compactMap { $0 })
    return paths.first.map { BlendedFile(path: $0, share: share) }
  }

  /// The file of the encoded prompts: the one that was named, else the picture's, unless there is a
  /// prompt instead.
  private static func embedsPath(
    _ command: GenerateCommand, _ recorded: RecordedPicture?
  ) throws -> String? {
    let (picture, encoded) = (command.picture, command.encoded)
    guard picture.prompts.prompt.isEmpty else { return nil }
    let given = [encoded.embeds].compactMap { $0 }
    let path = try recorded?.inputs("embeds", given: given).first ?? given.first
    if path != nil { try encoded.expectNoTexts(picture.prompts, picture.sampling) }
    return path
  }

  /// A job with the encoded prompts, and with the texts that these were.
  func embeds(in job: PictureJob) -> PictureJob {
    var job = job
    job.request.embedsBlend = embedsBlend
    guard let embeds else { return job }
    job.request.embeds = embeds
    job.request.prompt = embeds.prompt ?? ""
    job.request.negativePrompt = embeds.negativePrompt ?? ""
    job.request.promptWeights = embeds.promptWeights
    job.request.maxSequenceLength = embeds.tokenCount
    return job
  }

  /// The pictures to start from of each line. Files that several lines name are read once.
  private static func starts(
    _ lines: [PromptLine], _ input: PictureInputOptions, _ prompts: PromptOptions,
    _ console: Console
  ) throws -> [(picture: StartPicture?, files: [(option: String, path: String)])] {
    var known: [[String?]: (picture: StartPicture?, files: [(String, String)])] = [:]
    return try zip(1..., lines).map { number, line in
      var own = PromptLine("")
      (own.initImage, own.mask, own.strength) = (line.initImage, line.mask, line.strength)
      let key = [line.initImage, line.mask, line.strength.map { "\($0)" }]
      if let start = known[key] { return start }
      do {
        let options = try input.completed(by: own)
        let files = options.inputs.map { ($0.option, $0.path) }
        let start = (try options.start(console), files)
        known[key] = start
        return start
      } catch let error as ValidationError where own != PromptLine("") {
        throw ValidationError("prompt \(number) of \(prompts.source): \(error.message)")
      } catch let error as ModelFileError where own != PromptLine("") {
        throw ModelFileError(
          path: prompts.source, kind: error.kind,
          fault: "prompt \(number): \(error.description)")
      }
    }
  }

  /// All files.
  var files: [String] {
    (adapters + others).map(\.path) + starts.flatMap { $0.files.map(\.path) }
  }

  /// The files of each line as its pictures record them.
  var records: [[RecordedPicture.Input]] {
    var fingerprints: [String: String] = [:]
    return starts.map { start in
      let all = adapters + start.files.map { ($0.option, $0.path, nil) } + others
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

  /// The latents that a job's pictures go towards; nil if there are none.
  ///
  /// - Throws: `GenerationError.invalidRequest` for latents of another shape, `ModelFileError` if a
  ///   recorded picture's are not there.
  func latentsBlend(of job: PictureJob, _ pipeline: Pipeline) throws -> LatentsBlend? {
    guard let (file, path, share) = latentsBlend else { return nil }
    let shape = pipeline.latentShape(for: try pipeline.settings(for: job.request))
    guard file.shape.dropFirst() == shape.dropFirst() else {
      throw GenerationError.invalidRequest(
        "--blend-latents \(path) has shape \(file.storedShape), this request needs \(shape): pass "
          + "--width \(file.shape[3] * pipeline.upscaling) --height "
          + "\(file.shape[2] * pipeline.upscaling)")
    }
    guard file.shape[0] > 1 else { return LatentsBlend(file.values(for: pipeline), share: share) }
    if let latentsIndex, let recorded {
      guard let one = file.picture(latentsIndex) else {
        throw recorded.fault("there is no picture \(latentsIndex) in its latents to blend with")
      }
      return LatentsBlend(one.values(for: pipeline), share: share)
    }
    guard file.shape[0] == shape[0] else {
      throw GenerationError.invalidRequest(
        "--blend-latents \(path) has \(file.shape[0]) pictures, this request has \(shape[0]): pass "
          + "--num-images \(file.shape[0])")
    }
    return LatentsBlend(file.values(for: pipeline), share: share)
  }
}
