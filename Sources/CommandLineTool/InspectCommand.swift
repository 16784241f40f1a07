import ArgumentParser
import Checkpoints
import Foundation

/// Says what a model file or folder holds.
struct InspectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a model file, index or folder holds, and what it lacks to be run.",
    discussion: """
      Checks the whole structure: names, types, shapes, offsets and sizes. Weights are not read.

        auraflow inspect aura_flow_0.3-Q4_K_S.gguf
        auraflow inspect aura_flow_0.3/ --json
      """)

  @Argument(help: "A GGUF or safetensors file, a safetensors index, or a folder.")
  var path: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let inspection = try ModelInspection(path: path)
      if common.quiet { return }
      if common.json {
        var json = InspectionJSON(inspection)
        json.print()
      } else {
        var text = InspectionText(inspection)
        text.print()
      }
    }
  }
}
