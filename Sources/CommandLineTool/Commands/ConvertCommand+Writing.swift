import ArgumentParser
import Conversion
import Machine
import ModelFiles
import Quantization

/// The conversion itself.
extension ConvertCommand {
  /// Converts, and says what came of it.
  func write(
    _ plan: ConversionPlan, of source: ConversionSource, to output: String,
    _ options: ConversionOptions, _ interruption: Interruption, _ results: ResultWriter,
    _ console: Console
  ) throws {
    let pool = ThreadPool(threadCount: common.threadCount)
    interruption.beginComputing { pool.cancel() }
    let progress = ByteProgress(console, ending: "waiting for the disk")
    var place = output
    let outcome = Result {
      try Converter.write(
        plan, to: output, overwrite: common.force, options: options, on: pool,
        progress: { progress.show($0, of: $1) },
        onRescue: {
          results.tell($0)
          place = $0.path
        })
    }
    console.endProgress()
    // A signal that came when all was done does not undo it.
    if let code = interruption.exitCode, case .failure = outcome { throw ExitCode(code) }
    let outcomes = try outcome.get()
    noteFaults(outcomes, of: source, console)
    guard !common.quiet else { return }
    ConversionReport(plan, input: input)
      .printResult(outcomes, output: place, seconds: progress.seconds, asJSON: common.json)
  }

  /// Says which weights are not finite, and which files end in zeros.
  private func noteFaults(
    _ outcomes: [TensorOutcome], of source: ConversionSource, _ console: Console
  ) {
    for tensor in outcomes where tensor.notFiniteCount > 0 {
      console.note(
        "tensor '\(tensor.name)' holds \(tensor.notFiniteCount) weights that are not finite")
    }
    let findings = ZeroContent.findings(
      outcomes.flatMap(\.contents), contentEnd: { source.contentEnds[$0.path] ?? 0 })
    for finding in findings {
      let tensor = finding.tensor.map { "tensor '\($0)' " } ?? ""
      let line = "\(finding.path): \(tensor)\(finding.fault)"
      if case .padding = finding {
        console.note(line)
      } else {
        // Also where nothing but errors is wanted: what was written is damaged as its input is.
        console.warn(line)
      }
    }
  }
}
