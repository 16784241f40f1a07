import ArgumentParser
import BitAllocation
import Calibration
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelCatalog
import ModelFiles
import Quantization
import TextToImage

/// Converts checkpoints to other types and containers.
struct ConvertCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract:
      "Convert a model to any type: GGUF (quantized or not), safetensors or a diffusers folder.",
    discussion: """
      IN is whatever generate opens: a diffusers folder, a single file, a GGUF, a
      part by itself. OUT is a file ending in .gguf or .safetensors, or a name ending
      in / for a diffusers folder (f16, bf16 or f32); it appears only when it is complete.
      Memory stays below 256 MiB whatever the size of the model (with a target size,
      --calibrate or --preset fitted: within --memory).

        auraflow convert aura_flow_0.3/ aura-Q4_K_M.gguf --type q4_K_M
        auraflow convert aura_flow_0.3/ aura.gguf --type q8_0 --part transformer
        auraflow convert flux1-dev.safetensors flux1-dev-Q4_K_S.gguf --type q4_K_S \\
            --part transformer
        auraflow convert IN.gguf OUT.gguf --type q6_K --vae sdxl_vae.safetensors
        auraflow convert fine_tune.gguf fine_tune/ --type f16
        auraflow convert IN --type q4_K --dry-run

      Parts: all makes one self-contained file with tokenizers and defaults. A
      transformer by itself opens in ComfyUI-GGUF and diffusers, a text-encoder and
      t5xxl in llama.cpp and ComfyUI-GGUF, a clip-l in this program only.

      Types, for every matrix:
        \(ConvertText.types)
      Mixes, in which value projections and others get a better one:
        \(ConvertText.mixes)

      Presets decide which tensors get another type than the rest:
      \(ConvertText.presets)
      Whatever the type, vectors are F32, and what readers expect so is F16:
      positions, embeddings of time, patches and text, the final layer, the VAE.
      Rows that are not a multiple of the block size become F16.

      With --target-size or --target-bpw the model itself is run on a few prompts to
      find out which matrices matter; each gets the type with which predictions
      suffer least for that size, quantized with the importance matrix of the same run,
      modulation with error feedback for what enters it:

        auraflow convert IN OUT.gguf --target-size 3.5GB --prompts prompts.txt

      A file of prompts has one per line, as generate takes it; settings in it do not
      count. Without prompts two built-in ones are used.

      With --calibrate each matrix of transformer and text encoders is rounded for what
      enters it in pictures of your prompts, and moved to make up for the rounding of
      those before it: half the error in the same bytes, in a GGUF like any other. At
      full size that takes hours, which it says before; an interrupted run goes on.

        auraflow convert IN OUT.gguf --type q4_K --calibrate prompts.txt
        auraflow convert IN OUT.gguf --target-size 3.5GB --calibrate prompts.txt

      Rules change that by name: --rule 'attn\\.w[12]o=q6_K' --rule 'vae=f32'. The
      last one that matches counts; 'keep' stands for the type in IN. Names are
      those that --dry-run shows.

      What is stored in IN is taken as it is: inspect --verify compares it with the
      hashes that it may hold.
      """)

  @Argument(help: "A folder, GGUF, safetensors file or index.", completion: .file())
  var input: String

  @Argument(
    help: ArgumentHelp(
      "A name ending in .gguf or .safetensors, or in / for a diffusers folder.", valueName: "out"),
    completion: .file())
  var output: String?

  @Option(
    name: .long, help: ArgumentHelp("Type or mix of the matrices, in any case.", valueName: "type"),
    completion: .list(TypeMix.all.map(\.name)))
  var type: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "What to write: \(PartSelection.allValueStrings.joined(separator: ", ")).",
      valueName: "part"))
  var part = PartSelection.all

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Which tensors differ: \(TypePreset.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "name"))
  var preset = TypePreset.published

  @Option(
    name: .long, parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Type of the tensors whose names a regular expression matches (repeatable).",
      valueName: "regex=type"))
  var rule: [String] = []

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "How much each column matters: an importance matrix, GGUF or the older .dat.",
      valueName: "file"), completion: .file())
  var imatrix: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How long to search for scales: fast, or best for a little less error.", valueName: "quality")
  )
  var quality = QuantizationQuality.fast

  @Flag(name: .long, help: "Print what would become of each tensor; write nothing.")
  var dryRun = false

  @Flag(name: .long, help: "Convert weights that are NaN or infinite too, instead of refusing.")
  var allowNonfinite = false

  @Flag(
    inversion: .prefixedNo, help: "Measure each tensor's error by dequantizing its blocks.")
  var measure = true

  @OptionGroup(title: "Best types for a size") var size: SizeOptions
  @OptionGroup(title: "Calibration") var calibration: CalibrationOptions
  @OptionGroup(title: "Memory of --target-size and --calibrate") var memory: MemoryOptions
  @OptionGroup(title: "Parts") var parts: PartOptions
  @OptionGroup(title: "Adapters") var adapters: AdapterOptions
  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    // Their runs take matrices that are rounded already in place of the model's: an adapter would
    // be added to them a second time.
    if !adapters.lora.isEmpty, size.isUsed || calibration.isUsed || preset == .fitted {
      throw ValidationError(
        "--lora cannot be combined with --calibrate, --preset fitted or a target size: convert with "
          + "--lora to --type f16 first, and then the result")
    }
    do {
      _ = try request()
    } catch let error as ConversionError {
      throw ValidationError(error.description)
    }
  }

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      var request = try request()
      let interruption = Interruption(clearsLine: console.showsProgress)
      let results = ResultWriter(console, overwrite: common.force)
      if let output, !dryRun { try checkName(output, request, interruption) }
      let (source, pipeline) = try source()
      if let output { try expectApart(output, from: source) }
      let calibrating = try calibrationSession(interruption, console)
      if let calibrating { request.calibration = calibrating.metadata }
      var importance = try imatrix.map { try ImportanceMatrix(path: $0, in: .known) }
      var plan: ConversionPlan
      var modulation: ModulationInputs?
      if size.isUsed {
        (plan, importance, modulation) = try await bestTypes(
          interruption, results, console, calibrating
        ).plan(
          source, request, importance, path: output ?? input)
      } else {
        (plan, modulation) = try await fittedPlan(source, request)
      }
      try tell(plan, of: source, importance, console)
      guard let output, !dryRun else {
        if !common.quiet { ConversionReport(plan, input: input).printPlan(asJSON: common.json) }
        return try results.finish()
      }
      var options = options(importance)
      if let modulation { options.use(modulation) }
      var store: CalibrationStore?
      if let calibrating {
        let result = try await calibrating.calibrate(plan)
        (options.finished, store) = (result.finished, result.store)
        plan = try plan.noting(result.errors, of: source, path: output)
      }
      try write(plan, of: source, to: output, options, interruption, results, console)
      store?.remove()
      if let pipeline { console.keepTokenizers(of: pipeline) }
      try results.finish()
    }
  }

  /// Finds a wrong name before the model is opened; that writes and removes a temporary file.
  private func checkName(
    _ output: String, _ request: ConversionPlan.Request, _ interruption: Interruption
  ) throws {
    interruption.beginWriting()
    if request.container == .folder {
      try AtomicFolder.check(output) { () throws(ModelFileError) in
        try OwnFolder.mayReplace(output, common.force, .known)
      }
    } else {
      try AtomicFile.check(output, overwrite: common.force)
    }
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
  }

  /// Says what is read and written, and which options change nothing.
  private func tell(
    _ plan: ConversionPlan, of source: ConversionSource, _ importance: ImportanceMatrix?,
    _ console: Console
  ) throws {
    for note in plan.notes { console.note(note) }
    for file in source.files { console.detail("input: \(file)") }
    console.detail("\(plan.tensors.count) tensors, \(formattedBytes(plan.byteCount)) to write")
    if quality == .best, !calibration.isUsed, !plan.searches {
      console.note(
        "--quality best changes nothing: no tensor becomes a type whose scales are searched")
    }
    if let importance { try noteCoverage(of: plan, importance, console) }
    if calibration.isUsed, imatrix != nil {
      console.note("--imatrix counts only for matrices that are not calibrated")
    }
  }

  /// The rounding of `--calibrate`; nil where that is not asked for.
  private func calibrationSession(
    _ interruption: Interruption, _ console: Console
  ) throws -> CalibrationSession? {
    guard calibration.isUsed else { return nil }
    var paths = parts.paths(model: input)
    paths.access = memory.io
    return CalibrationSession(
      console: console, interruption: interruption,
      pool: ThreadPool(threadCount: common.threadCount), options: calibration,
      prompts: try calibration.texts(console), quality: quality, allowsNotFinite: allowNonfinite,
      threads: common.threads, memory: memory.memory.budget,
      paths: paths, hints: parts.hints(), folder: calibration.folder(output: output ?? input))
  }

  /// The search for `--target-size`.
  private func bestTypes(
    _ interruption: Interruption, _ results: ResultWriter, _ console: Console,
    _ calibration: CalibrationSession?
  ) throws -> BestTypesSession {
    guard let folder = size.folder(input: input, output: output) else {
      throw ValidationError("--dry-run without a name keeps measurements nowhere: pass --measured")
    }
    var paths = parts.paths(model: input)
    paths.access = memory.io
    return BestTypesSession(
      console: console, interruption: interruption, results: results,
      pool: ThreadPool(threadCount: common.threadCount), size: size, quality: quality,
      threads: common.threads, memory: memory.memory.budget, paths: paths, hints: parts.hints(),
      folder: folder, calibration: calibration)
  }

  /// Refuses to replace a file that was named or lies in a folder that was named, whether or not
  /// this conversion reads it.
  private func expectApart(_ output: String, from source: ConversionSource) throws {
    guard FileSystem.exists(output) else { return }
    let named =
      [input] + parts.named.map(\.path)
      + [imatrix, calibration.calibrate, size.prompts.prompts].compactMap { $0 }
    let files = named.flatMap { [$0] + FileSystem.descendants(of: $0) }
    let written = [output] + (FileSystem.isFolder(output) ? FileSystem.descendants(of: output) : [])
    try OutputOptions.Files(images: written, latents: nil, statistics: nil)
      .expectApart(from: source.files + files)
  }

  /// Says what the importance matrix holds, and how many tensors it does not know.
  private func noteCoverage(
    of plan: ConversionPlan, _ importance: ImportanceMatrix, _ console: Console
  ) throws {
    let origin = importance.chunkCount.map { " of \($0) texts" } ?? ""
    let others = importance.unknownNames.count
    console.detail(
      "\(importance.path): \(importance.count) tensors\(origin)"
        + (others > 0 ? ", \(others) that \(plan.family.name) models do not have" : ""))
    let rounded = plan.tensors.filter(\.usesImportance)
    let unknown = try rounded.filter {
      try importance.importance(of: $0.source.name, columns: $0.shape.last ?? 1) == nil
    }
    if rounded.isEmpty {
      console.note("no tensor becomes a type that uses \(importance.path)")
    }
    guard let first = unknown.first else { return }
    console.note(
      "\(importance.path) has nothing about \(unknown.count) of \(rounded.count) tensors, such as "
        + first.name)
  }
}

extension PartSelection: ExpressibleByArgument {
  /// `all`, or a part by the option that names a file of it.
  public init?(argument: String) {
    guard Self.allValueStrings.contains(argument) else { return nil }
    self = argument == "all" ? .all : .part(argument)
  }

  /// What can be asked for, of all families.
  public static var allValueStrings: [String] { ["all"] + FamilyCatalog.known.options }

  /// As it is asked for.
  public var defaultValueDescription: String { name }

  /// As it is asked for.
  var name: String {
    switch self {
    case .all: "all"
    case .denoiser: "denoiser"
    case .part(let option): option
    }
  }
}
extension TypePreset: ExpressibleByArgument {}
