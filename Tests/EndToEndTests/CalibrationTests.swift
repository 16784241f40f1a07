import BlockFormats
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

@Suite("auraflow convert --calibrate")
struct CalibrationTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws {
    folder = try Self.makeFolder()
    try folder.write(
      Array("a red apple\na frog, white background\na yellow star\n".utf8), to: "p.txt")
  }

  private let few = ["--calibrate", "p.txt", "--calibrate-points", "4", "--calibrate-side", "64"]

  @discardableResult
  private func calibrate(
    _ input: String, _ output: String, _ options: String...
  ) throws -> CommandLine.Outcome {
    let outcome = try CommandLine.run(["convert", input, output] + few + options, in: folder.url)
    #expect(outcome.status == 0, "\(options): \(outcome.errors)")
    return outcome
  }

  /// Type, shape and bytes of each tensor, by name.
  private func tensors(
    _ name: String
  ) throws -> [String: (type: ElementType, shape: [Int], bytes: [UInt8])] {
    let archive = try TensorArchive(path: folder.path(name))
    var found: [String: (type: ElementType, shape: [Int], bytes: [UInt8])] = [:]
    for (index, record) in archive.tensors.records.enumerated() {
      found[record.name] = (record.type, record.shape, try archive.copy(of: index))
    }
    return found
  }

  private func calibration(_ name: String) throws -> String? {
    try TensorArchive(path: folder.path(name)).gguf?.value(for: "auraflow.calibration")?
      .textPrefix(200)
  }

  // MARK: Results

  @Test("a file of the same bytes predicts better, on other prompts")
  func better() throws {
    let model = try ShippedModel.path()
    let prompts = Fixtures.checkout.appendingPathComponent("tools/benchmarks/prompts")
    let options = ["--type", "q2_K", "--preset", "pure", "-q"]
    for (name, further) in [
      ("plain.gguf", []),
      (
        "calibrated.gguf",
        [
          "--calibrate", prompts.appendingPathComponent("icons-calibrate.txt").path,
          "--calibrate-points", "24",
        ]
      ),
    ] {
      let outcome = try CommandLine.run(
        ["convert", model, name] + options + further, in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let (plain, calibrated) = (try tensors("plain.gguf"), try tensors("calibrated.gguf"))
    #expect(plain.count == calibrated.count)
    for (name, tensor) in plain {
      #expect(calibrated[name]?.type == tensor.type && calibrated[name]?.shape == tensor.shape)
      // Everything that is rounded and multiplied is calibrated, and nothing else is touched.
      let isCalibrated = tensor.type == .q2_K && name != "token_embd.weight"
      #expect((calibrated[name]?.bytes != tensor.bytes) == isCalibrated, "\(name)")
    }
    // What is known of the errors of each tensor, three numbers of 4 bytes, and a text.
    let more = try data("calibrated.gguf").count - data("plain.gguf").count
    #expect(more > 12 * plain.count && more < 12 * plain.count + 1024)
    #expect(try calibration("plain.gguf") == nil)
    let metadata = try #require(try calibration("calibrated.gguf"))
    #expect(metadata.contains("at 24 points of 128 prompts") && metadata.contains("with targets"))
    #expect(try !files().contains { $0.contains("calibration") })
    // No pair of subject and background is among those above.
    let compared = try String(
      contentsOf: prompts.appendingPathComponent("icons.txt"), encoding: .utf8
    ).split(separator: "\n").filter { !$0.hasPrefix("#") }
    try folder.write(Array(compared.prefix(2).joined(separator: "\n").utf8), to: "c.txt")
    let report = try CommandLine.run(
      [
        "compare", "--models", "plain.gguf", "calibrated.gguf", "-f", "c.txt", "-o", "out",
        "--json", "--no-noise-floor",
      ], in: folder.url)
    let levels = try #require(try JSONValue(parsing: report.output)["levels"]?.arrayValue)
    let errors = try levels.dropFirst().map { try #require($0["velocityError"]?.doubleValue) }
    // Measured on two prompts: 0.185 instead of 0.396, on five 0.277 instead of 0.451.
    #expect(errors[1] < 0.75 * errors[0], "\(errors)")
  }

  @Test("threads, memory and layout change nothing; targets do")
  func sameBytes() throws {
    try calibrate("in.gguf", "two.gguf", "--type", "q4_K", "--threads", "2")
    try calibrate(
      "in.gguf", "one.gguf", "--type", "q4_K", "--threads", "1", "--memory", "200MiB")
    // The transformer under other names; the defaults stay those of the file.
    let part = try run("in.gguf", "part/", "--type", "f16", "--part", "transformer", "-q")
    #expect(part.status == 0, "\(part.errors)")
    try calibrate(
      "in.gguf", "five.gguf", "--type", "q4_K", "--threads", "5", "--memory", "max",
      "--transformer", "part")
    for name in ["one.gguf", "five.gguf"] {
      #expect(try data(name) == data("two.gguf"), "\(name)")
    }
    try calibrate("in.gguf", "less.gguf", "--type", "q4_K", "--no-targets", "--threads", "1")
    try calibrate("in.gguf", "less-5.gguf", "--type", "q4_K", "--no-targets", "--threads", "5")
    #expect(try data("less-5.gguf") == data("less.gguf"))
    #expect(try calibration("less.gguf")?.contains("with targets") == false)
    let (expected, less) = (try tensors("two.gguf"), try tensors("less.gguf"))
    let moved = expected.filter { less[$0.key]?.bytes != $0.value.bytes }.map(\.key)
    // There is one stream only through text encoders, and none before the first matrices.
    #expect(moved.count > 10 && moved.allSatisfy { $0.contains("_layers.") }, "\(moved)")
  }

  @Test("a FLUX.1 model is calibrated in all its encoders; rules count")
  func flux() throws {
    let made = try CommandLine.run(
      ["synthesize", "--preset", "tiny-flux", "--type", "f16", "flux.gguf"], in: folder.url)
    #expect(made.status == 0, "\(made.errors)")
    let options = ["--type", "q4_K", "--rule", "single_blocks.*linear2=f16"]
    let plain = try CommandLine.run(
      ["convert", "flux.gguf", "plain.gguf", "-q"] + options, in: folder.url)
    #expect(plain.status == 0, "\(plain.errors)")
    try calibrate("flux.gguf", "out.gguf", options[0], options[1], options[2], options[3])
    let (before, after) = (try tensors("plain.gguf"), try tensors("out.gguf"))
    #expect(before.count == after.count)
    var counts = (kept: 0, rounded: 0)
    for (name, tensor) in before {
      #expect(after[name]?.type == tensor.type, "\(name)")
      #expect((after[name]?.bytes != tensor.bytes) == (tensor.type == .q4_K), "\(name)")
      if name.hasPrefix("single_blocks"), name.hasSuffix("linear2.weight") {
        #expect(tensor.type == .f16)
        counts.kept += 1
      }
      if tensor.type == .q4_K { counts.rounded += 1 }
    }
    #expect(counts.kept == 2 && counts.rounded > 30, "\(counts)")
    let generated = try CommandLine.run(
      [
        "generate", "-m", "out.gguf", "-p", "a cat", "--steps", "1", "-W", "64", "-H", "64", "-o",
        "a.png", "-q",
      ], in: folder.url)
    #expect(generated.status == 0 && generated.errors.isEmpty, "\(generated.errors)")
    #expect(try CommandLine.run(["inspect", "--verify", "out.gguf"], in: folder.url).status == 0)
  }

  @Test("a size is kept to; its trial and its measurements are made once")
  func targetSize() throws {
    let bytes = 5_000_000
    func convert(_ further: String...) throws -> CommandLine.Outcome {
      try CommandLine.run(
        [
          "convert", "in.gguf", "out.gguf", "--target-size", "\(bytes)", "--measured", "measured",
          "--prompts", "measure.txt", "--measure-side", "64",
        ] + few + further, in: folder.url)
    }
    func calibrations(_ outcome: CommandLine.Outcome) -> Int {
      outcome.errors.split(separator: "\n").count { $0.contains("calibrating on 4 points") }
    }
    try folder.write(Array("a banana\n".utf8), to: "measure.txt")
    let first = try convert("--dry-run")
    #expect(first.status == 0 && calibrations(first) == 1, "\(first.errors)")
    let second = try convert()
    #expect(second.status == 0 && second.errors.contains("measured already"), "\(second.errors)")
    // That of the matrices as they become: the trial is not repeated.
    #expect(calibrations(second) == 1, "\(second.errors)")
    let size = try data("out.gguf").count
    #expect(size <= bytes && size > bytes * 97 / 100)
    #expect(try !files().contains { $0.hasSuffix(".calibration") })
    let kept = try FileManager.default.contentsOfDirectory(atPath: folder.path("measured"))
    #expect(!kept.contains { $0.hasSuffix(".scratch") || $0.hasPrefix("layer") }, "\(kept)")
  }
}
