import ArgumentParser
import BlockFormats
import Checkpoints
import Foundation
import Machine
import ModelCatalog
import ModelFiles
import ModelSynthesis
import StrictJSON

private let presetNames = FamilyCatalog.known.presets.map(\.preset.name)

/// Makes a model of random weights.
struct SynthesizeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "synthesize",
    abstract: "Make a model of random weights, to try a machine before a download.",
    discussion: """
      The weights are random but well-behaved: pictures show noise, while time
      and memory are those of the real model. Nothing is downloaded.

        auraflow synthesize --preset auraflow-v0.3 --type q4_K test.gguf
        auraflow generate -m test.gguf -p "anything" --steps 1 -o noise.png

      OUT ending in .gguf becomes one file with transformer, text encoders, VAE
      and tokenizers. OUT ending in / or without extension becomes a diffusers
      folder of f16, bf16 or f32:

        auraflow synthesize --preset medium --type f16 test-model/

      Presets and their sizes:

                                                    q2_K   q4_K   q8_0    f16
        auraflow-v0.3  8.2 billion parameters     2.9 GB 4.8 GB 8.8 GB  16 GB
        auraflow-v0.2  fewer positions            2.9 GB 4.8 GB 8.8 GB  16 GB
        medium         0.4 billion, 16 layers     164 MB 261 MB 466 MB 852 MB
        tiny           7 million, up to 256x256     4 MB   5 MB   8 MB  14 MB
        flux-dev       16.9 billion parameters    5.8 GB 9.7 GB  18 GB  34 GB
        flux-schnell   no distilled guidance      5.8 GB 9.7 GB  18 GB  34 GB
        tiny-flux      8 million                    4 MB   6 MB  10 MB  16 MB

      Types: \(RandomRows.types.map(\.name).joined(separator: ", ")).
      The type is that of the large matrices. In a file, norms and biases are
      F32 and what quantizers leave alone (positions, embeddings of time and
      patches, the whole VAE) is F16, or of the type itself if that is plain.
      """)

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The model's sizes: \(presetNames.joined(separator: ", ")).",
      valueName: "name"), completion: .list(presetNames))
  var preset: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How the large matrices are stored (default: q4_K in a file, f16 in a folder).",
      valueName: "type"), completion: .list(RandomRows.types.map(\.name)))
  var type: String?

  @Option(name: [.long, .customShort("s")], help: "Seed of the weights.")
  var seed: UInt64 = 0

  @Argument(
    help: ArgumentHelp("A name ending in .gguf, or a folder's.", valueName: "out"),
    completion: .file())
  var output: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      let model = try model()
      let interruption = Interruption(clearsLine: console.showsProgress)
      let pool = ThreadPool(threadCount: common.threadCount)
      interruption.beginComputing { pool.cancel() }
      let progress = ByteProgress(console, ending: "waiting for the disk")
      let results = ResultWriter(console, overwrite: common.force)
      var place = output
      let outcome = Result {
        try write(model, on: pool, progress) {
          results.tell($0)
          place = $0.path
        }
      }
      console.endProgress()
      // A signal that came when all was done does not undo it.
      if let code = interruption.exitCode, case .failure = outcome { throw ExitCode(code) }
      report(
        model, at: place, byteCount: try outcome.get(), seconds: progress.seconds, console)
      try results.finish()
    }
  }

  private var isFile: Bool { output.lowercased().hasSuffix(".gguf") }

  /// The model that the arguments describe.
  private func model() throws -> SyntheticModel {
    guard
      let (family, preset) = FamilyCatalog.known.presets
        .first(where: { $0.preset.name == preset.lowercased() })
    else {
      throw ValidationError(
        "--preset: '\(preset)' is not one of "
          + presetNames.joined(separator: ", "))
    }
    let name = type ?? (isFile ? "q4_K" : "f16")
    guard let type = RandomRows.types.first(where: { $0.name.lowercased() == name.lowercased() })
    else {
      throw ValidationError(
        "--type: '\(name)' is not one of " + RandomRows.types.map(\.name).joined(separator: ", "))
    }
    try StandardStreams.expectName(output, "a model")
    if !isFile {
      let hasExtension =
        !output.hasSuffix("/") && !FileSystem.fileExtension(of: output).isEmpty
      guard !output.isEmpty, !hasExtension else {
        throw ValidationError(
          "'\(output)' is neither a name ending in .gguf nor one ending in / for a folder")
      }
      guard SyntheticModel.folderTypes.contains(type) else {
        throw ValidationError(
          "--type \(name): a folder holds only "
            + SyntheticModel.folderTypes.map(\.name).joined(separator: ", ")
            + "; end the name in .gguf for \(type.name)")
      }
    }
    return try SyntheticModel(preset, of: family, in: .known, type: type, seed: seed)
  }

  private func write(
    _ model: SyntheticModel, on pool: ThreadPool, _ progress: ByteProgress,
    onRescue: (RescuedFile) -> Void
  ) throws -> Int {
    let show: SyntheticModel.Progress = { progress.show($0, of: $1) }
    return isFile
      ? try model.writeGGUF(
        to: output, overwrite: common.force, on: pool, progress: show, onRescue: onRescue)
      : try model.writeFolder(
        to: output, overwrite: common.force, on: pool, progress: show, onRescue: onRescue)
  }

  private func report(
    _ model: SyntheticModel, at place: String, byteCount: Int, seconds: Double, _ console: Console
  ) {
    console.detail(
      "\(formattedBytes(byteCount)) in " + String(format: "%.1f s", seconds))
    guard !common.quiet else { return }
    guard common.json else { return Console.writeOutput(place.withoutControlCharacters + "\n") }
    let report: JSONValue = [
      "file": .path(place), "preset": .string(model.preset.name),
      "type": .string(model.type.name), "seed": .seed(model.seed), "bytes": .integer(byteCount),
      "seconds": .double(seconds),
    ]
    Console.writeOutput(report.text(indentation: 2) + "\n")
  }
}
