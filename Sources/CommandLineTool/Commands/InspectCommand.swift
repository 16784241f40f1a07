import ArgumentParser
import Checkpoints
import Foundation
import Machine
import ModelCatalog
import ModelFiles
import TextToImage

/// Says what a model file or folder holds.
struct InspectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a model file, index or folder holds, and what it lacks to be run.",
    discussion: """
      Checks the whole structure: names, types, shapes, offsets and sizes.
      Weights are not read.

        auraflow inspect aura_flow_0.3-Q4_K_S.gguf
        auraflow inspect aura_flow_0.3/ --json

      With --verify every byte is read too, in little memory and as fast as the
      disk gives it:

        auraflow inspect --verify aura_flow_0.3/

      It finds files that end early, missing files and tensors, wrong shapes,
      numbers and scales that are NaN or infinite, and tensors that differ from
      the hashes stored with them. Files written by convert and synthesize hold
      hashes (XXH64); elsewhere a flipped bit that gives another finite number
      cannot be seen. Tensors that no part uses are warnings. Each problem is
      one line that names file, tensor and remedy.

      Exit codes: 0 sound, 65 damaged or unfit, 66 a file is missing.
      """)

  @Argument(
    help: "A GGUF or safetensors file, a safetensors index, or a folder.", completion: .file())
  var path: String

  @Flag(name: .long, help: "Read and check everything, not the structure only.")
  var verify = false

  @OptionGroup(title: "Verify") var architecture: ArchitectureOptions

  @Flag(name: [.long, .customShort("q")], help: "Print nothing but errors.")
  var quiet = false

  @OptionGroup var common: ReportOptions

  mutating func validate() throws {
    if !verify, !architecture.isEmpty || common.threads != nil {
      throw ValidationError("flags about the architecture and --threads are for --verify")
    }
  }

  func run() async throws {
    try await reportingFailure {
      if verify { return try verifyModel() }
      let inspection = try ModelInspection(path: path, in: .known)
      if quiet { return }
      let trial = trial(of: inspection)
      if common.json {
        var json = InspectionJSON(inspection, trial)
        json.print()
      } else {
        var text = InspectionText(inspection, trial)
        text.print()
      }
    }
  }

  /// What generate makes of a model that has all parts: it is opened in the same way.
  private func trial(of inspection: ModelInspection) -> InspectionTrial {
    guard inspection.missing.isEmpty, inspection.ambiguities.isEmpty, !inspection.isAdapter else {
      return InspectionTrial()
    }
    do throws(ModelFileError) {
      let pipeline = try Pipeline(ModelPaths(model: path))
      return InspectionTrial(
        sampler: pipeline.defaults.sampler?.rawValue, schedulerFault: pipeline.schedulerFault)
    } catch {
      return InspectionTrial(obstacle: error)
    }
  }

  private func verifyModel() throws {
    let console = Console(isQuiet: quiet)
    let pool = ThreadPool(threadCount: common.threadCount)
    let progress = ByteProgress(console)
    let verification = try ModelVerification(
      path: path, hints: architecture.hints(), on: pool
    ) { progress.show($0, of: $1) }
    console.endProgress()
    let report = VerificationReport(verification, seconds: progress.seconds)
    if common.json {
      if !quiet { Console.writeOutput(report.json.text(indentation: 2) + "\n") }
    } else if !quiet {
      report.print()
    }
    guard let first = verification.errors.first else { return }
    let others = verification.errors.count - 1
    throw ModelFileError(
      path: first.path, kind: first.kind,
      fault: first.description.dropFirst(first.path.count + 2)
        + (others > 0 ? " (and \(others) more problem\(others == 1 ? "" : "s"))" : ""))
  }
}
