import Foundation
import TestSupport
import Testing

/// Budgets and plans with a small FLUX.1 model, which has two text encoders, fused matrices and a
/// modulation of each prompt's own.
@Suite(
  "memory budgets with FLUX.1", .serialized,
  .disabled(if: Sanitizer.isActive, "a sanitizer takes several times the memory that is planned"))
struct FluxMemoryTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let outcome = try CommandLine.run(
      ["synthesize", "--preset", "tiny-flux", "--type", "f32", "in.gguf", "-q"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  @Test("plans are never below the measured peak, and above it by little more than their slack")
  func plansAreTrue() throws {
    var held = 0
    for (side, options) in [
      (64, ["--memory", "max"]), (256, ["--memory", "max"]), (128, ["--memory", "52MiB"]),
      (128, ["--memory", "50MiB"]), (256, ["--memory", "58MiB"]),
      (128, ["--memory", "max", "--guidance-scale", "2"]),
      (128, ["--memory", "60MiB", "--guidance-scale", "2", "--max-sequence-length", "512"]),
      (128, ["--memory", "max", "--num-images", "3"]),
      (128, ["--memory", "58MiB", "--num-images", "3"]), (64, ["--memory", "40MiB"]),
    ] {
      let options = ["-W", "\(side)", "-H", "\(side)", "--steps", "2"] + options
      if try PlannedRun.expectPlan("in.gguf", options, in: folder) { held += 1 }
    }
    #expect(held >= 7)
  }

  @Test("pictures are the same bits whatever the budget and the way to read")
  func sameBits() throws {
    var pictures: Set<Data> = []
    for options in [
      [], ["--memory", "max"], ["--memory", "50MiB"], ["--memory", "52MiB", "--io", "read"],
      ["--memory", "51MiB", "--threads", "1"],
    ] {
      let outcome = try CommandLine.run(
        [
          "generate", "-m", "in.gguf", "-p", "a red apple", "--seed", "3", "--steps", "2", "-q",
          "-o", "a.png", "--force",
        ] + options, in: folder.url)
      #expect(outcome.status == 0, "\(options): \(outcome.errors)")
      pictures.insert(try Data(contentsOf: URL(fileURLWithPath: folder.path("a.png"))))
    }
    #expect(pictures.count == 1)
  }
}
