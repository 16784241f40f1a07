import ArgumentParser
import Checkpoints
import Comparison
import ComputeCPU
import Conversion
import Foundation
import Machine
import ModelCatalog
import ModelFiles
import Quantization
import StrictJSON
import TextToImage

/// Measures what quantization costs.
struct CompareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Show what each quantization level costs: a table, pictures and a page.",
    discussion: """
      Sends the same prompts, seeds and noise through a reference and every level,
      and measures how far pictures, latents and predicted velocities are apart:

        auraflow compare --types q8_0,q4_K,q2_K -f prompts.txt -o comparison
        auraflow compare --reference aura_flow_0.3/ --types q4_K_M,q3_K_M \\
            -f prompts.txt --seeds 0,1,2 -o comparison
        auraflow compare --reference F16.gguf --models Q4_K_S.gguf Q4_0.gguf \\
            -f prompts.txt -o comparison
        auraflow compare --types q4_K,q2_K --imatrix aura.imatrix.gguf \\
            --calibrate others.txt --rounding plain,imatrix,calibrated \\
            -f prompts.txt -o comparison

      The folder gets results.json, results.csv, report.html (one file, no network),
      contact-sheet.png and images/. What is finished is not computed again: the
      same command goes on after an interruption, and more types, models, prompts
      or seeds cost only what they add. Types are converted from the reference into
      the folder's cache/, which may be deleted when all is done.

      \(PromptOptions.fileHelp)
      The last three have no effect here. Without prompts eight built-in ones are used.

      PSNR, SSIM and MS-SSIM compare pictures (higher is better), FLIP is what an
      eye would notice (lower is better). A level may lead to another picture that
      is as good: velocity errors are taken at fixed points of the reference's way
      and do not know of that. The row 'rounding' is the reference with nothing but
      other rounding: what is below it cannot be told from noise. A scores.csv that
      tools/score made from the folder's pictures.jsonl adds whether pictures show
      what was asked for.
      """)

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "What all levels are compared with (default: the model that comes with the program).",
      valueName: "path"), completion: .file())
  var reference: String?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp(
      "Models to compare, each as --model of generate takes it.", valueName: "path"),
    completion: .file())
  var models: [String] = []

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Types and mixes to convert the reference to, separated by commas, as convert takes them.",
      valueName: "list"))
  var types: String?

  @OptionGroup var prompts: PromptOptions

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("Seeds for each prompt, separated by commas.", valueName: "list"))
  var seeds = "0"

  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp("The folder for results.", valueName: "folder"), completion: .directory)
  var output: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Points of each trajectory at which velocities are compared; each costs a step.",
      valueName: "count"))
  var velocityPoints = 4

  @Flag(inversion: .prefixedNo, help: "Compare the reference with itself under other rounding.")
  var noiseFloor = true

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("Importance matrix for --types.", valueName: "file"), completion: .file())
  var imatrix: String?

  @Option(
    name: .long, help: ArgumentHelp("How long --types search for scales.", valueName: "quality"))
  var quality = QuantizationQuality.fast

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How --types are rounded, separated by commas, a level for each: plain, imatrix, calibrated "
        + "(default: those of --imatrix and --calibrate that are given, else plain).",
      valueName: "list"))
  var rounding: String?

  @OptionGroup(title: "Calibration of --types") var calibration: CalibrationOptions
  @OptionGroup(title: "Parts that models lack") var parts: PartOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    _ = try madeLevels()
    _ = try seedList()
    guard (1...64).contains(velocityPoints) else {
      throw ValidationError("--velocity-points \(velocityPoints) is outside of 1...64")
    }
    guard !output.isEmpty else { throw ValidationError("--output names no folder") }
    try StandardStreams.expectName(output, "a folder")
    guard parts.transformer == nil else {
      throw ValidationError("name transformers with --reference and --models")
    }
    if types == nil,
      imatrix != nil || quality != .fast || rounding != nil || calibration.isUsed
    {
      throw ValidationError("--imatrix, --calibrate, --rounding and --quality are for --types")
    }
    if calibration.calibrate == "-", prompts.prompts == "-" || prompts.prompt.contains("-") {
      throw ValidationError("standard input can be read once only")
    }
    if types == nil, models.isEmpty {
      throw ValidationError("nothing to compare: name --types, --models or both")
    }
  }

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      let interruption = Interruption(clearsLine: console.showsProgress)
      let names = LevelNames()
      let reference = try referenceLevel(names)
      let settings = try settings(reference, console)
      // Whatever may be wrong is found before hours of work, and before anything is written.
      let models = modelLevels(names)
      for note in try Comparison.check(settings, reference, models) { console.note(note) }
      let importance = try imatrix.map { try ImportanceMatrix(path: $0, in: .known) }
      _ = try ScoreTable(path: output + "/scores.csv")
      interruption.beginWriting()
      let store = try ComparisonStore(folder: output, overwrite: common.force)
      if let code = interruption.exitCode { throw ExitCode(code) }
      interruption.beginPreparing()
      let session = CompareSession(
        console: console, interruption: interruption,
        pool: ThreadPool(threadCount: common.threadCount), store: store, settings: settings)
      var levels = [reference]
      if noiseFloor { levels.append(try noiseFloorLevel(reference, names)) }
      levels += models
      levels += try await typeLevels(reference, names, importance, session)
      let (report, files) = try await session.run(levels)
      interruption.beginWriting()
      let results = ResultWriter(console, overwrite: true)
      var page = ""
      files.write(to: store) { path, ending, content in
        let place = results.write(path, ending: ending, content)
        if path == store.path("report.html") { page = place ?? "" }
      }
      if let code = interruption.exitCode { throw ExitCode(code) }
      tell(report, files, page: page)
      try results.finish()
      if !report.cells.failures.isEmpty { throw ExitCode(ExitStatus.badData) }
    }
  }

  private func tell(_ report: ComparisonReport, _ files: ComparisonReport.Files, page: String) {
    for failure in report.cells.failures {
      ErrorReport.tell(failure, ExitStatus.badData)
    }
    guard !common.quiet else { return }
    guard !common.json else { return Console.writeOutput(files.json) }
    Console.writeOutput(report.table.withoutControlCharactersInLines)
    if !page.isEmpty { Console.writeOutput("\n\(page.withoutControlCharacters)\n") }
  }

  private func settings(
    _ reference: ComparisonLevel, _ console: Console
  ) throws -> ComparisonSettings {
    let lines =
      try prompts.lines()
      ?? BuiltInPrompts.lines(forModel: [reference.paths.model].compactMap { $0 })
    prompts.noteIdle(
      [.seed, .numImages, .output, .initImage, .mask, .strength], in: lines, console)
    var settings = ComparisonSettings(prompts: lines, seeds: try seedList())
    settings.velocityPoints = velocityPoints
    settings.threadCount = common.threads
    settings.memory = memory.memory.budget
    settings.version = RootCommand.configuration.version
    return settings
  }
}
