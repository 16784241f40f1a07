import ArgumentParser
import Checkpoints
import Compute
import Foundation
import Machine
import ModelFiles
import StrictJSON
import TextToImage

/// Measures which input columns of each weight matter.
struct ImatrixCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "imatrix",
    abstract: "Measure an importance matrix, which makes small quantized models better.",
    discussion: """
      Runs every prompt of a file as generate does, all steps and both branches
      of guidance, and adds up the squared activations that enter each weight of
      transformer and text encoder, column by column. Quantizers take more
      care of columns that see large activations:

        auraflow imatrix aura_flow_0.3/ -f prompts.txt -o aura.imatrix
        auraflow convert aura_flow_0.3/ aura.gguf --type q3_K --imatrix aura.imatrix

      \(PromptOptions.fileHelp)
      Choose prompts like those that the model will be used with; without any,
      eight built-in ones are used. Prompt i, from 0, uses seed + i unless its line
      has a seed. Smaller pictures (-W, -H) and fewer steps take less time.

      A row counts once each time it is multiplied: tokens at every step, all
      padding of a prompt as one, texts and times once for all that share them.
      Sums do not depend on the number of threads. The file appears when the last
      prompt has ended; until then sums are kept beside it, in NAME.KEY.partial,
      and the same command goes on after an interruption. The file has the GGUF
      form that llama.cpp's tools read, whatever its name.
      """)

  @Argument(help: "The model, as --model takes it; best in F16, BF16 or F32.", completion: .file())
  var path: String?

  @OptionGroup var prompts: PromptOptions

  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp(
      "The importance matrix to write (GGUF), - for standard output.", valueName: "file"),
    completion: .file())
  var output: String

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup(title: "Picture") var sampling: SamplingOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      let interruption = Interruption(clearsLine: console.showsProgress)
      // Wrong names must be found before hours of work, not after.
      interruption.beginWriting()
      let output = StandardStreams.outputPath(output)
      try StandardStreams.expectNoTerminal(output, option: "--output")
      try AtomicFile.check(output, overwrite: common.force)
      if let code = interruption.exitCode { throw ExitCode(code) }
      interruption.beginPreparing()
      let named = try prompts.lines()
      let (pipeline, _) = try model.open(
        path: path, memory: memory, precision: precision, threads: common.threads)
      let files = OutputOptions.Files(images: [output], latents: nil, statistics: nil)
      try files.expectApart(from: pipeline.files + [prompts.file].compactMap { $0 })
      let requests = try requests(
        named ?? BuiltInPrompts.lines(forModel: pipeline.files), pipeline, console)
      let start = ContinuousClock.now
      let session = try ImatrixSession(
        pipeline, requests, output: output,
        identity: "\(RootCommand.configuration.version) \(model.hints()) "
          + precision.activations.rawValue, console, interruption)
      let entries = try await session.run()
      let results = ResultWriter(console, overwrite: common.force)
      let rescued = try RescuedFile.writing(
        to: output, overwrite: common.force, ending: ".gguf"
      ) { path, overwrite throws(ModelFileError) in
        try ImportanceMatrix.write(
          entries,
          origin: .init(datasets: [FilePaths.shown(prompts.source)], chunkCount: requests.count),
          to: path,
          overwrite: overwrite)
      }
      session.finish()
      if let rescued { results.tell(rescued) }
      report(
        entries, at: rescued?.path ?? output, prompts: requests.count,
        seconds: (ContinuousClock.now - start) / .seconds(1), files, console)
      console.keepTokenizers(of: pipeline)
      try results.finish()
    }
  }

  /// A request for each prompt, all of them checked.
  private func requests(
    _ lines: [PromptLine], _ pipeline: Pipeline, _ console: Console
  ) throws(GenerationError) -> [GenerationRequest] {
    var requests: [GenerationRequest] = []
    var isGuided = false
    for (index, line) in lines.enumerated() {
      var common = sampling.request(prompt: line.text)
      common.seed &+= UInt64(index)
      let request = line.request(common)
      do throws(GenerationError) {
        isGuided = try pipeline.checkedSettings(for: request).usesGuidance || isGuided
      } catch {
        throw error.about("prompt \(index + 1) of \(prompts.source)")
      }
      requests.append(request)
    }
    prompts.noteIdle(
      [.numImages, .output, .initImage, .mask, .strength], in: lines, console)
    for note in try pipeline.notes(on: requests) { console.note(note) }
    if !isGuided, pipeline.defaults.guidanceScale > 1 {
      console.note("guidance is off: only what the prompts themselves bring about is measured")
    }
    return requests
  }

  private func report(
    _ entries: [String: ColumnSquares], at place: String, prompts: Int, seconds: Double,
    _ files: OutputOptions.Files, _ console: Console
  ) {
    let rows = entries.values.reduce(0) { $0 + $1.rows }
    console.detail(
      "\(entries.count) tensors, \(rows) rows of \(prompts) prompts in "
        + formattedDuration(seconds))
    guard common.json else {
      return console.result(place.withoutControlCharacters, beside: files)
    }
    let report: JSONValue = [
      "file": .path(place), "prompts": .integer(prompts), "tensors": .integer(entries.count),
      "rows": .integer(rows), "seconds": .double(seconds),
      "peakResidentBytes": .integer(peakResidentBytes()),
    ]
    console.result(report.text(indentation: 2), beside: files)
  }
}
