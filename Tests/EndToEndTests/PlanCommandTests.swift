import CommandLineTool
import Foundation
import StrictJSON
import TestSupport
import Testing

/// `auraflow plan`: how often the model is asked.
@Suite("auraflow plan")
struct PlanCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func plan(_ options: String...) throws -> JSONValue {
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    let outcome = try CommandLine.run(
      ["plan", model, "--json", "--memory", "max", "--steps", "4"] + options, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try JSONValue(parsing: outcome.output)
  }

  @Test(
    "samplers and guidance decide how often the model is asked",
    arguments: [
      ([], 4.0), (["--sampler", "heun"], 7), (["--guidance-interval", "0.999,1"], 2.5),
      (["--guidance-scale", "1"], 4),
      // Heun's first step ends at the second one's level, which has no guidance.
      (["--sampler", "heun", "--guidance-interval", "0.999,1"], 4),
    ] as [([String], Double)])
  func evaluations(_ options: [String], _ count: Double) throws {
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    let outcome = try CommandLine.run(
      ["plan", model, "--json", "--no-trial", "--steps", "4"] + options, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try JSONValue(parsing: outcome.output)["evaluations"]?.doubleValue == count)
  }

  @Test("seconds per picture are those of its evaluations")
  func seconds() throws {
    let json = try plan("--sampler", "heun")
    let once = try #require(json["secondsPerEvaluation"]?.doubleValue)
    let whole = try #require(json["secondsPerPicture"]?.doubleValue)
    let step = try #require(json["secondsPerStep"]?.doubleValue)
    #expect(once > 0)
    #expect(abs(whole - 7 * once) < 1e-9 * whole)
    #expect(abs(4 * step - whole) < 1e-9 * whole)
  }
}
