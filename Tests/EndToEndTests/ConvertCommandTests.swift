import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

@Suite("auraflow convert")
struct ConvertCommandTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws { folder = try Self.makeFolder() }

  /// Expects a refusal in one line that leaves all files as they are.
  private func expectRefusal(
    _ outcome: CommandLine.Outcome, _ status: Int32, _ message: String, files expected: [String]
  ) throws {
    #expect(outcome.status == status && !outcome.wasSignalled, "\(outcome.errors)")
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.errorLines.count == 1 || status == 64, "\(outcome.errors)")
    #expect(try files() == expected.sorted())
  }

  // MARK: What it makes

  @Test("a folder and its F16 file draw the same picture, a smaller type a similar one")
  func pictures() throws {
    try Self.synthesize("model/", in: folder)
    func picture(_ model: String) throws -> [UInt8] {
      let outcome = try CommandLine.run(
        [
          "generate", "-m", model, "-p", "a red apple", "--steps", "1", "-W", "128", "-H", "64",
          "-o", "picture.png", "--force",
        ], in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try RGBImage(pngData: [UInt8](try data("picture.png"))).pixels
    }
    #expect(try run("model/", "f16.gguf", "--type", "f16").status == 0)
    #expect(try run("f16.gguf", "q8.gguf", "--type", "q8_0", "-q").output.isEmpty)
    let pixels = try picture("model/")
    #expect(try picture("f16.gguf") == pixels)
    // Eight bits a weight: an error of half a per cent.
    #expect(peakSignalToNoiseRatio(try picture("q8.gguf"), pixels) > 30)
  }

  @Test("the report says sizes, types and the worst errors; --json the same as data")
  func reports() throws {
    let text = try run("in.gguf", "a.gguf", "--type", "q8_0")
    #expect(text.status == 0 && text.errors.isEmpty, "\(text.errors)")
    #expect(text.output.contains("bits per weight") && text.output.contains("47 tensors"))
    #expect(text.output.contains("largest relative errors"))
    let quiet = try run("in.gguf", "b.gguf", "--type", "q8_0", "--json", "--no-measure")
    let report = try JSONValue(parsing: quiet.output)
    #expect(report["file"]?.stringValue == "b.gguf")
    #expect(report["bytes"]?.integerValue == (try data("b.gguf").count))
    #expect(report["tensors"]?.arrayValue?.first?["relativeError"]?.isNull == false)
    #expect(try data("a.gguf") == data("b.gguf"))
  }

  @Test("--dry-run lists every tensor and writes nothing, with or without a name")
  func dryRun() throws {
    for arguments in [["in.gguf", "--type", "q4_K_M"], ["in.gguf", "x.gguf", "--type", "q4_K_M"]] {
      let outcome = try CommandLine.run(["convert", "--dry-run"] + arguments, in: folder.url)
      #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
      let line = outcome.output.split(separator: "\n").first {
        $0.hasPrefix("double_layers.0.attn.w1v.weight")
      }
      #expect(
        line?.split(separator: " ") == [
          "double_layers.0.attn.w1v.weight", "256x256", "F16", "Q6_K", "53760", "6.56", "mix",
        ])
      #expect(outcome.output.split(separator: "\n").last?.contains("bits per weight") == true)
    }
    let json = try run("in.gguf", "--type", "f32", "--dry-run", "--json")
    #expect(try JSONValue(parsing: json.output)["tensors"]?.arrayValue?.count == 245)
    #expect(try files() == ["in.gguf"])
  }

  @Test("parts of several files become one")
  func composition() throws {
    for (part, name) in [("transformer", "t.gguf"), ("text-encoder", "te.gguf"), ("vae", "v.gguf")]
    {
      let outcome = try run("in.gguf", name, "--type", "q8_0", "--part", part)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let whole = try run("in.gguf", "whole.gguf", "--type", "q8_0")
    #expect(whole.status == 0)
    let composed = try run(
      "t.gguf", "composed.gguf", "--text-encoder", "te.gguf", "--vae", "v.gguf", "--type", "q8_0")
    #expect(composed.status == 0, "\(composed.errors)")
    let (one, other) = (
      try TensorArchive(path: folder.path("whole.gguf")),
      try TensorArchive(path: folder.path("composed.gguf"))
    )
    #expect(one.tensors.records.map(\.name) == other.tensors.records.map(\.name))
    for index in one.tensors.records.indices {
      #expect(try one.copy(of: index) == other.copy(of: index))
    }
  }

  // MARK: What it refuses

  @Test(
    "wrong arguments are explained",
    arguments: [
      (["in.gguf", "a.gguf"], "--type"), (["in.gguf", "a.gguf", "--type", "q9"], "Q4_K_M"),
      (["in.gguf", "a.bin", "--type", "f16"], ".gguf"),
      (["in.gguf", "--type", "f16"], "--dry-run"),
      (["in.gguf", "a.safetensors", "--type", "q8_0"], ".gguf"),
      (["in.gguf", "a.gguf", "--type", "f16", "--rule", "(=f16"], "regular expression"),
      (["in.gguf", "a.gguf", "--type", "f16", "--part", "tail"], "text-encoder"),
      (["in.gguf", "a.gguf", "--type", "f16", "--preset", "x"], "published"),
      (["in.gguf", "a.gguf", "--type", "f16", "-t", "0"], "--threads"),
    ])
  func wrongArguments(_ arguments: [String], _ message: String) throws {
    let outcome = try CommandLine.run(["convert"] + arguments, in: folder.url)
    try expectRefusal(outcome, 64, message, files: ["in.gguf"])
  }

  @Test("an input is never written onto, under whatever name")
  func inputAsOutput() throws {
    let before = try data("in.gguf")
    let input = folder.path("in.gguf")
    #expect(symlink("in.gguf", folder.path("soft.gguf")) == 0)
    #expect(link(input, folder.path("hard.gguf")) == 0)
    for name in ["in.gguf", "./in.gguf", "soft.gguf", "hard.gguf", input] {
      let outcome = try run("in.gguf", name, "--type", "f32", "--force")
      try expectRefusal(
        outcome, 73, "input", files: ["in.gguf", "soft.gguf", "hard.gguf"])
    }
    let backwards = try run("soft.gguf", "in.gguf", "--type", "f32", "--force")
    #expect(backwards.status == 73)
    #expect(try data("in.gguf") == before)
  }

  @Test("files inside of the input's folder stay, also shards and descriptions")
  func folderAsOutput() throws {
    try Self.synthesize("model/", in: folder)
    let weights = "model/transformer/diffusion_pytorch_model.safetensors"
    let before = try data(weights)
    let refused = try run("model", weights, "--type", "f32", "--force")
    #expect(refused.status == 73 && refused.errors.contains("input"))
    #expect(try data(weights) == before)
    #expect(try run("model", "model/all.gguf", "--type", "q8_0").status == 0)
  }

  @Test("an existing file is kept without --force, and until the new one is whole")
  func existingOutput() throws {
    try folder.write([9], to: "out.gguf")
    try expectRefusal(
      try run("in.gguf", "out.gguf", "--type", "f16"), 73, "--force",
      files: ["in.gguf", "out.gguf"])
    #expect(try data("out.gguf") == Data([9]))
    #expect(try run("in.gguf", "out.gguf", "--type", "f16", "--force").status == 0)
    #expect(try data("out.gguf").count > 1_000_000)
  }

  @Test("names that cannot be written are found before the model is opened")
  func badNames() throws {
    let long = String(repeating: "x", count: 260) + ".gguf"
    try expectRefusal(
      try run("missing.gguf", long, "--type", "f16"), 73, "too long", files: ["in.gguf"])
    try expectRefusal(
      try run("missing.gguf", "no/such/folder.gguf", "--type", "f16"), 73, "cannot create",
      files: ["in.gguf"])
    #expect(mkdir(folder.path("dir.gguf"), 0o755) == 0)
    try expectRefusal(
      try run("missing.gguf", "dir.gguf", "--type", "f16"), 73, "folder",
      files: ["in.gguf", "dir.gguf"])
    try expectRefusal(
      try run("missing.gguf", "a.gguf", "--type", "f16"), 66, "missing.gguf",
      files: ["in.gguf", "dir.gguf"])
    // The longest name that there can be leaves room for the temporary one.
    let longest = String(repeating: "y", count: 250) + ".gguf"
    #expect(try run("in.gguf", longest, "--type", "f16").status == 0)
  }

  // MARK: Ends

  @Test("a killed run leaves the output absent or whole, and the next run cleans up")
  func kills() throws {
    let reference = try run("in.gguf", "whole.gguf", "--type", "q8_0")
    #expect(reference.status == 0)
    let (input, whole) = (try data("in.gguf"), try data("whole.gguf"))
    var random = SystemRandomNumberGenerator()
    var kept = 0
    for _ in 0..<30 {
      let process = try CommandLine.start(
        ["convert", "in.gguf", "out.gguf", "--type", "q8_0"], in: folder.url,
        output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
      usleep(UInt32.random(in: 0...150_000, using: &random))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      if FileManager.default.fileExists(atPath: folder.path("out.gguf")) {
        #expect(try data("out.gguf") == whole)
        try FileManager.default.removeItem(atPath: folder.path("out.gguf"))
        kept += 1
      }
    }
    #expect(try data("in.gguf") == input)
    #expect(try run("in.gguf", "out.gguf", "--type", "q8_0").status == 0)
    #expect(try data("out.gguf") == whole, "\(kept) of 30 were whole")
    #expect(try files() == ["in.gguf", "out.gguf", "whole.gguf"])
  }

  @Test(
    "interrupted runs end with the signal's code and leave nothing", arguments: [SIGINT, SIGTERM])
  func interruption(_ signal: Int32) throws {
    let process = try CommandLine.start(
      ["convert", "in.gguf", "out.gguf", "--type", "f32", "--quality", "best"], in: folder.url,
      errors: FileHandle.nullDevice)
    let deadline = Date(timeIntervalSinceNow: 20)
    while try files().count < 2, process.isRunning, Date() < deadline { usleep(500) }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    let isDone = try files().contains("out.gguf")
    #expect(process.terminationStatus == (isDone ? 0 : 128 + signal))
    #expect(try files().allSatisfy { !$0.hasPrefix(".") })
  }

  @Test("a full device is told in one line")
  func fullDevice() throws {
    #expect(symlink("/dev/full", folder.path("full.gguf")) == 0)
    try expectRefusal(
      try run("in.gguf", "full.gguf", "--type", "f16"), 73, "No space left",
      files: ["in.gguf", "full.gguf"])
  }

  @Test("--preset fitted rounds modulation for its inputs, in whole models and in parts")
  func fitted() throws {
    let model = try ShippedModel.path()
    func errors(_ arguments: [String]) throws -> [Double] {
      let outcome = try CommandLine.run(
        ["convert", model, "out.gguf", "--force", "--json", "--type", "q5_K"] + arguments,
        in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let tensors = try #require(try JSONValue(parsing: outcome.output)["tensors"]?.arrayValue)
      let fitted = tensors.filter { $0["productError"]?.doubleValue != nil }
      #expect(fitted.allSatisfy { ["Q2_K", "Q3_K"].contains($0["to"]?.stringValue) })
      return fitted.compactMap { $0["productError"]?.doubleValue }
    }
    for part in [[], ["--part", "transformer"]] {
      let found = try errors(["--preset", "fitted"] + part)
      #expect(found.count == 8 && found.allSatisfy { $0 > 0 && $0 < 0.015 }, "\(found)")
    }
    let key = "auraflow.calibration"
    func calibration() throws -> String? {
      try TensorArchive(path: folder.path("out.gguf")).gguf?.value(for: key)?.textPrefix(64)
    }
    #expect(try calibration()?.hasPrefix("modulation: ") == true)
    #expect(try errors([]).isEmpty && calibration() == nil)
    for (arguments, message) in [
      (["x/", "--type", "f16"], "is for GGUF files"),
      (["x.gguf", "--type", "q4_K", "--part", "vae"], "has no modulation"),
    ] {
      let outcome = try CommandLine.run(
        ["convert", model] + arguments + ["--preset", "fitted"], in: folder.url)
      #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
    }
  }
}
