import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// Budgets and plans with an adapter of every matrix of a small transformer.
@Suite(
  "memory budgets with adapters", .serialized,
  .disabled(if: Sanitizer.isActive, "a sanitizer takes several times the memory that is planned"))
struct AdapterMemoryTests {
  /// A model, and an adapter in `a.safetensors`.
  private struct Model {
    let folder: TemporaryFolder
    /// Bytes of the adapter.
    let byteCount: Int

    init(_ preset: String, rank: Int) throws {
      folder = try TemporaryFolder()
      let outcome = try CommandLine.run(
        ["synthesize", "--preset", preset, "--type", "q8_0", "in.gguf", "-q"], in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let archive = try TensorArchive(path: folder.path("in.gguf"), access: .mmap)
      var tensors: [SafetensorsWriter.FloatTensor] = []
      for record in archive.tensors.records where Self.isLayer(record) {
        let module = record.name.dropLast(".weight".count)
        for (end, shape) in [("down", [rank, record.shape[1]]), ("up", [record.shape[0], rank])] {
          let name = "\(module).lora_\(end).weight"
          tensors.append(
            .init(
              name: name, shape: shape,
              values: SeededWeights.values(name, count: shape[0] * shape[1]).map { 0.1 * $0 }))
        }
      }
      #expect(tensors.count > 20)
      let bytes = SafetensorsWriter.encode(tensors, metadata: [])
      byteCount = bytes.count
      _ = try folder.write(bytes, to: "a.safetensors")
    }

    private static func isLayer(_ record: TensorRecord) -> Bool {
      record.shape.count == 2 && record.name.hasSuffix(".weight")
        && ["double_layers.", "single_layers.", "double_blocks.", "single_blocks."]
          .contains(where: record.name.contains)
    }
  }

  @Test("plans count adapters, and the measured peak stays below them")
  func plansAreTrue() throws {
    let tests = try Model("tiny-flux", rank: 32)
    var held = 0
    for (side, options) in [
      (128, ["--memory", "max"]), (128, ["--memory", "52MiB"]), (128, ["--memory", "44MiB"]),
      (256, ["--memory", "58MiB"]), (128, ["--memory", "max", "--num-images", "3"]),
    ] {
      let options =
        ["-W", "\(side)", "-H", "\(side)", "--steps", "2", "--lora", "a.safetensors:0.5"] + options
      if try PlannedRun.expectPlan("in.gguf", options, in: tests.folder) { held += 1 }
    }
    #expect(held >= 3)
    func planned(_ options: [String]) throws -> Int {
      let plan = try CommandLine.run(
        ["plan", "in.gguf", "--no-trial", "--json", "-p", "a", "--memory", "max"] + options,
        in: tests.folder.url)
      #expect(plan.status == 0, "\(plan.errors)")
      let row = try JSONValue(parsing: plan.output)["plans"]?.arrayValue?.first
      return try #require(row?["peakBytes"]?.integerValue)
    }
    let (with, without) = (try planned(["--lora", "a.safetensors"]), try planned([]))
    #expect(with >= without + tests.byteCount * 9 / 10)
  }

  @Test(
    "pictures are the same bits whatever the budget, the threads and the pictures at once",
    arguments: [("tiny-flux", ["44MiB", "52MiB"]), ("tiny", ["44MiB", "52MiB"])])
  func sameBits(preset: String, budgets: [String]) throws {
    let tests = try Model(preset, rank: 8)
    var pictures: Set<Data> = []
    var refused = 0
    for options in [
      ["--memory", "max"], ["--memory", budgets[0]],
      ["--memory", budgets[1], "--io", "read"],
      ["--memory", budgets[1], "--threads", "1", "--num-images", "2"],
    ] {
      let outcome = try CommandLine.run(
        [
          "generate", "-m", "in.gguf", "-p", "a red apple", "--seed", "3", "--steps", "2", "-q",
          "-W", "64", "-H", "64", "--lora", "a.safetensors:0.8", "-o", "a.png", "--force",
        ] + options, in: tests.folder.url)
      guard outcome.status != 71 else {
        refused += 1
        continue
      }
      #expect(outcome.status == 0, "\(options): \(outcome.errors)")
      let name = options.contains("--num-images") ? "a_000.png" : "a.png"
      pictures.insert(try Data(contentsOf: URL(fileURLWithPath: tests.folder.path(name))))
    }
    #expect(pictures.count == 1)
    #expect(refused <= 1)
  }
}
