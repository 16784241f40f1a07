import ArgumentParser
import Foundation
import ModelFiles
import Synchronization
import TextToImage

/// The work of `generate`: makes the pictures of a run and writes each when it is finished.
final class GenerateSession: Sendable {
  private let pipeline: Pipeline
  private let modelName: String
  private let jobs: [PictureJob]
  private let inputs: [RecordedPicture.Input]
  /// The picture of a file of latents that is used alone; else nil.
  private let latentsIndex: Int?
  private let modelFiles: [(name: String, fingerprint: String)]
  private let previewing: PreviewWriter
  private let files: OutputOptions.Files
  /// Whether pictures have prompts and settings of their own.
  private let isFromFile: Bool
  private let common: CommonOptions
  private let console: Console
  private let interruption: Interruption
  private let results: ResultWriter
  private let finished = Mutex<[FinishedPicture]>([])
  /// Seconds that encoding took apart from the pictures.
  private let encodingSeconds = Mutex(0.0)
  /// Whether latents were said to be beyond all range.
  private let isWarned = Atomic(false)

  init(
    pipeline: Pipeline, modelName: String, modelFiles: [(name: String, fingerprint: String)],
    jobs: [PictureJob],
    inputs: GenerationInputs, previewing: PreviewWriter,
    files: OutputOptions.Files,
    isFromFile: Bool, common: CommonOptions, console: Console, interruption: Interruption
  ) {
    self.pipeline = pipeline
    self.modelName = modelName
    self.jobs = jobs
    self.inputs = inputs.records
    latentsIndex = inputs.latentsIndex
    self.modelFiles = modelFiles
    self.previewing = previewing
    self.files = files
    self.isFromFile = isFromFile
    self.common = common
    self.console = console
    self.interruption = interruption
    results = ResultWriter(console, overwrite: common.force)
  }

  /// Runs until done or interrupted. What was finished by then is written in any case.
  ///
  /// - Throws: `GenerationError`, or `ExitCode` after a signal or a file that could not be written.
  func run() async throws {
    for note in try pipeline.notes(on: jobs.map(\.request)) { console.note(note) }
    let total = files.images.count
    let reporter = ProgressReporter(console, total: total, "picture")
    let task = Task {
      var first = 0
      for (number, job) in try await self.encodedJobs().enumerated() {
        let done = first
        try await self.pipeline.generate(
          job.request,
          onProgress: { progress in
            self.watch(progress)
            self.previewing.show(progress)
            reporter.report(progress, first: done)
          },
          onImage: { self.finish($0, of: number) })
        first += job.names.count
      }
    }
    interruption.beginComputing { task.cancel() }
    let outcome = await task.result
    console.endProgress()
    interruption.beginWriting()
    writeSummary()
    let count = finished.withLock { $0.count }
    if (1..<total).contains(count) { console.note("\(count) of \(total) pictures are finished") }
    if let code = interruption.exitCode { throw ExitCode(code) }
    try outcome.get()
    try results.finish()
  }

  /// The jobs, their prompts encoded and written where that was asked for.
  private func encodedJobs() async throws(GenerationError) -> [PictureJob] {
    guard let path = files.embeds, var job = jobs.first else { return jobs }
    let start = ContinuousClock.now
    let embeds = try await pipeline.embeds(of: job.request)
    encodingSeconds.withLock { $0 = (ContinuousClock.now - start) / .seconds(1) }
    _ = results.write(path, ending: ".safetensors") { embeds.safetensorsData() }
    // They are the same bits, and are not made twice.
    job.request.embeds = embeds
    return [job]
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
    let metadata = ImageMetadata(
      settings: picture.settings, seed: picture.settings.seeds[picture.index], model: modelName,
      modelFiles: modelFiles, activations: pipeline.activations.rawValue, inputs: inputs,
      start: jobs[job].request.picture,
      latentsIndex: latentsIndex
        ?? (jobs[job].hasLatentsOfEach ? picture.index : nil))
    console.endProgress()
    let place = results.write(jobs[job].names[picture.index], ending: ".png") {
      try picture.image.pngData(texts: metadata.texts)
    }
    let warnings = picture.warnings
    for warning in warnings { console.note("\(place ?? "the picture"): \(warning)") }
    if let place, !common.json { console.result(place.withoutControlCharacters, beside: files) }
    let record = FinishedPicture(
      job: job, file: place, seed: picture.settings.seeds[picture.index],
      settings: picture.settings, droppedTokens: picture.droppedTokens.prompt,
      statistics: complete(picture.statistics), warnings: warnings,
      latents: files.latents == nil ? [] : picture.latents)
    finished.withLock { $0.append(record) }
  }

  /// Writes what there is once for all pictures.
  private func writeSummary() {
    let pictures = finished.withLock { $0 }
    guard let first = pictures.first else { return }
    if let path = files.latents {
      let shape = [pictures.count] + pipeline.latentShape(for: first.settings).dropFirst()
      _ = results.write(path, ending: ".safetensors") {
        LatentFile.encode(pictures.flatMap(\.latents), shape: shape)
      }
    }
    let report = RunReport(pictures, model: modelName, namesPrompts: isFromFile)
    if let path = files.statistics {
      _ = results.write(path, ending: ".json") {
        Array((report.json.text(indentation: 2) + "\n").utf8)
      }
    }
    if common.json { console.result(report.json.text(indentation: 2), beside: files) }
    console.detail(report.summary)
  }
}
