import StrictJSON
import TestSupport
import Testing

/// A run of `generate` beside what `plan` says of it.
enum PlannedRun {
  /// Plans a run, makes it, and expects that the plan is not below the measured peak, and above it
  /// by little more than its slack; where the budget cannot be held, that it is refused.
  ///
  /// - Parameters:
  ///   - model: a file in the folder.
  ///   - options: of both verbs; they name one budget.
  ///   - folder: where to run.
  /// - Returns: whether the budget could be held.
  /// - Throws: what running throws.
  static func expectPlan(
    _ model: String, _ options: [String], in folder: TemporaryFolder
  ) throws -> Bool {
    let options = ["-p", "a lighthouse", "--json"] + options
    let planned = try CommandLine.run(["plan", model, "--no-trial"] + options, in: folder.url)
    #expect(planned.status == 0, "\(planned.errors)")
    let plan = try JSONValue(parsing: planned.output)["plans"]?.arrayValue?.first
    let run = try CommandLine.run(
      ["generate", "-m", model, "-o", "a.png", "--force"] + options, in: folder.url)
    guard plan?["fits"]?.boolValue == true else {
      #expect(run.status == 71, "\(options): \(run.errors)")
      return false
    }
    #expect(run.status == 0, "\(options): \(run.errors)")
    let peak = try #require(try JSONValue(parsing: run.output)["peakResidentBytes"]?.integerValue)
    let bytes = try #require(plan?["peakBytes"]?.integerValue)
    #expect(
      bytes >= peak && bytes < peak + peak / 20 + (8 << 20), "\(options): \(bytes) \(peak)")
    return true
  }
}
