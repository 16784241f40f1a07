import ArgumentParser
import Foundation
import ModelFiles
import Synchronization
import TextToImage

/// The work of `generate`: makes the pictures of a run and writes each when it is finished.
final class GenerateSession: Sendable {
  private let pipeline: Pipeline
  private let jobs: [PictureJob]
  private let metadata: RunMetadata
  /// What is left of an interrupted run; nil if this is a new one.
  private let resumed: ResumedWork?
  private let keeper: UnfinishedKeeper
  private let previewing: PreviewWriter
  private let files: OutputOptions.Files
  /// Whether pictures have prompts and settings of their own.
  private let isFromFile: Bool
  private let common: CommonOptions
  private let console: Console
  private let interruption: Interruption
  private let results: ResultWriter
  private let finished = Mutex<[FinishedPicture]>([])
  /// Of the run so far.
  private let statistics = Mutex(GenerationStatistics())
  /// Of a prompt that was encoded apart from the pictures.
  private let droppedTokens = Mutex<DroppedTokens.Counts?>(nil)
  /// Seconds that encoding took apart from the pictures.
  private let encodingSeconds = Mutex(0.0)
  /// Whether latents were said to be beyond all range.
  private let isWarned = Atomic(false)

  /// - Throws: `GenerationError` for a job that cannot be done, or `ModelFileError` for files of an
  ///   earlier run that do not fit.
  init(
    pipeline: Pipeline, jobs: [PictureJob], metadata: RunMetadata, resume: ResumeOptions,
    seed: Seed?, previewing: PreviewWriter, files: OutputOptions.Files, isFromFile: Bool,
    common: CommonOptions, console: Console, interruption: Interruption
  ) throws {
    self.pipeline = pipeline
    self.jobs = jobs
    self.metadata = metadata
    let fingerprints = try zip(0..., jobs).map { number, job in
      let settings = try pipeline.settings(for: job.request)
      return job.names.indices.map {
        metadata.metadata($0, of: number, job, settings).fingerprint
      }
    }
    let resumed =
      resume.resume
      ? try ResumedWork(
        jobs, fingerprints, unfinishedAt: files.unfinished, force: common.force, pipeline) : nil
    self.resumed = resumed
    keeper = UnfinishedKeeper(
      path: files.unfinished, pace: resume.pace, replaces: resume.resume || common.force,
      fingerprints: fingerprints, resumed: resumed?.unfinished ?? [:], console)
    let isRandom = seed?.isRandom == true
    resumeCommand =
      "the same command with --resume"
      + (isRandom ? " and --seed \(seed?.value ?? 0) instead of the random one" : "")
    self.previewing = previewing
    self.files = files
    self.isFromFile = isFromFile
    self.common = common
    self.console = console
    self.interruption = interruption
    // What an earlier run wrote and is not a finished picture is written anew.
    results = ResultWriter(console, overwrite: common.force || resume.resume)
  }

  /// Runs until done or interrupted. What was finished by then is written in any case.
  ///
  /// - Throws: `GenerationError`, or `ExitCode` after a signal or a file that could not be written.
  func run() async throws {
    let total = files.images.count
    if let note = resumed?.note(of: total) { console.note(note) }
    // What is left, with the numbers of its jobs.
    let work = zip(0..., resumed?.requests ?? jobs.map(\.request)).compactMap { number, request in
      request.map { (job: number, request: $0) }
    }
    for note in try pipeline.notes(on: work.map(\.request)) { console.note(note) }
    let reporter = ProgressReporter(console, total: total, "picture")
    let task = Task { try await self.generate(work, reporter) }
    interruption.beginComputing { task.cancel() }
    let outcome = await task.result
    console.endProgress()
    interruption.beginWriting()
    writeSummary()
    let count = finishedCount
    if (1..<total).contains(count) { console.note("\(count) of \(total) pictures are finished") }
    if count == total, keeper.isEmpty {
      keeper.end()
    } else if let note = keeper.endEarly(resumeCommand) {
      console.note(note)
    }
    if let code = interruption.exitCode { throw ExitCode(code) }
    try outcome.get()
    try results.finish()
  }

  /// What goes on after an interruption, in words.
  private let resumeCommand: String

  /// Makes what is left.
  private func generate(
    _ work: [(job: Int, request: GenerationRequest)], _ reporter: ProgressReporter
  ) async throws {
    let firsts = jobs.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.names.count) }
    let numbers = work.map(\.job)
    _ = try await pipeline.generate(
      try await encoded(work.map(\.request)),
      onProgress: { progress in
        self.watch(progress)
        self.previewing.show(progress)
        reporter.report(
          progress, numbers: progress.pictures.map { firsts[numbers[$0.request]] + $0.image },
          finished: self.finishedCount)
      },
      onStepEnd: { self.keeper.note($0, jobs: numbers) },
      onImage: { self.finish($0, of: numbers[$0.request]) })
  }

  /// Pictures that are there, those of an earlier run among them.
  private var finishedCount: Int {
    finished.withLock { $0.count } + (resumed?.finishedCount ?? 0)
  }

  /// Requests, their prompts encoded and written where that was asked for.
  private func encoded(
    _ requests: [GenerationRequest]
  ) async throws(GenerationError) -> [GenerationRequest] {
    guard let path = files.embeds, var request = requests.first ?? jobs.first?.request else {
      return requests
    }
    let start = ContinuousClock.now
    let embeds = try await pipeline.embeds(of: request)
    encodingSeconds.withLock { $0 = (ContinuousClock.now - start) / .seconds(1) }
    _ = results.write(path, ending: ".safetensors") { embeds.safetensorsData() }
    let dropped = try pipeline.droppedTokens(of: request).prompt
    droppedTokens.withLock { $0 = dropped }
    // They are the same bits, blended as they are, and are not made twice.
    request.embeds = embeds
    request.embedsBlend = nil
    return requests.isEmpty ? [] : [request]
  }

  /// A picture's statistics with the time that encoding took before.
  private func complete(_ statistics: GenerationStatistics) -> GenerationStatistics {
    var statistics = statistics
    let seconds = encodingSeconds.withLock { $0 }
    statistics.textEncoderSeconds += seconds
    statistics.totalSeconds += seconds
    return statistics
  }

  /// Says early when latents leave the range of pictures: hours of steps may follow.
  private func watch(_ progress: GenerationProgress) {
    guard !isWarned.load(ordering: .relaxed), progress.step < progress.stepCount,
      let note = ResultWarnings.note(
        latents: progress.latents, "after step \(progress.step) of \(progress.stepCount)"),
      !isWarned.exchange(true, ordering: .relaxed)
    else { return }
    console.note(note)
  }

  /// Writes a picture.
  private func finish(_ picture: GeneratedImage, of job: Int) {
    let metadata = metadata.metadata(picture.index, of: job, jobs[job], picture.settings)
    console.endProgress()
    let place = results.write(jobs[job].names[picture.index], ending: ".png") {
      try picture.image.pngData(texts: metadata.texts)
    }
    if place != nil { keeper.finish(PictureIndex(request: job, image: picture.index)) }
    let warnings = picture.warnings
    for warning in warnings { console.note("\(place ?? "the picture"): \(warning)") }
    if let place, !common.json { console.result(place.withoutControlCharacters, beside: files) }
    let record = FinishedPicture(
      job: job, index: picture.index, file: place, seed: picture.settings.seeds[picture.index],
      settings: picture.settings,
      droppedTokens: droppedTokens.withLock { $0 } ?? picture.droppedTokens.prompt,
      warnings: warnings,
      latents: files.latents == nil ? [] : picture.latents)
    finished.withLock { $0.append(record) }
    // The last picture knows of all before it.
    statistics.withLock { $0 = complete(picture.statistics) }
  }

  /// Writes what there is once for all pictures.
  private func writeSummary() {
    // Pictures that are made together need not be finished in the order of their prompts.
    let pictures = finished.withLock { $0 }.sorted { ($0.job, $0.index) < ($1.job, $1.index) }
    let isComplete = finishedCount == files.images.count
    guard !pictures.isEmpty || isComplete else { return }
    if let path = files.latents, let first = pictures.first {
      let shape = [pictures.count] + pipeline.latentShape(for: first.settings).dropFirst()
      _ = results.write(path, ending: ".safetensors") {
        LatentFile.encode(pictures.flatMap(\.latents), shape: shape)
      }
    }
    let report = RunReport(
      pictures, statistics.withLock { $0 }, model: metadata.modelName, namesPrompts: isFromFile)
    if let path = files.statistics {
      _ = results.write(path, ending: ".json") {
        Array((report.json.text(indentation: 2) + "\n").utf8)
      }
    }
    if common.json { console.result(report.json.text(indentation: 2), beside: files) }
    console.detail(report.summary)
  }
}
