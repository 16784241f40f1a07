import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing

@Suite("auraflow synthesize")
struct SynthesizeCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  /// A picture of one step with a model.
  private func picture(_ model: String, _ arguments: String...) throws -> RGBImage {
    let outcome = try CommandLine.run(
      [
        "generate", "-m", model, "-p", "a red apple", "--steps", "1", "-o", "picture.png",
        "--force",
      ]
        + arguments, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let data = try Data(contentsOf: folder.url.appendingPathComponent("picture.png"))
    return try RGBImage(pngData: [UInt8](data))
  }

  @Test(
    "a single file of any kind of type is drawn with",
    arguments: ["q4_0", "q8_0", "q2_K", "q3_K", "Q4_K", "q6_K", "iq4_xs", "bf16", "f32"])
  func singleFiles(_ type: String) throws {
    let outcome = try run("synthesize", "--preset", "tiny", "--type", type, "model.gguf")
    #expect(outcome.status == 0 && outcome.output == "model.gguf\n" && outcome.errors.isEmpty)
    let image = try picture("model.gguf")
    #expect(image.width == 128 && image.height == 128)
    #expect(Set(image.pixels).count > 100)
  }

  @Test("a file and a folder of the same seed give the same picture")
  func folders() throws {
    #expect(try run("synthesize", "--preset", "tiny", "--type", "f16", "a.gguf").status == 0)
    let outcome = try run("synthesize", "--preset", "tiny", "model/", "--json")
    #expect(outcome.status == 0)
    let report = try JSONValue(parsing: outcome.output)
    #expect(report["type"]?.stringValue == "F16" && report["file"]?.stringValue == "model/")
    #expect(try files() == ["a.gguf", "model"])
    let size = ["-W", "128", "-H", "96", "--max-sequence-length", "16"]
    #expect(
      try picture("a.gguf", size[0], size[1], size[2], size[3], size[4], size[5]).pixels
        == picture("model", size[0], size[1], size[2], size[3], size[4], size[5]).pixels)
  }

  @Test("an existing file is kept without --force")
  func existingFile() throws {
    try folder.write([9], to: "model.gguf")
    let refused = try run("synthesize", "--preset", "tiny", "model.gguf")
    #expect(refused.status == 73 && refused.errors.contains("--force"))
    #expect(try Data(contentsOf: folder.url.appendingPathComponent("model.gguf")) == Data([9]))
    #expect(try run("synthesize", "--preset", "tiny", "model.gguf", "--force", "-q").output.isEmpty)
    #expect(try TensorArchive(path: folder.path("model.gguf")).gguf != nil)
  }

  @Test(
    "wrong arguments are explained",
    arguments: [
      (["--preset", "huge", "a.gguf"], "auraflow-v0.3"),
      (["--preset", "tiny", "--type", "q9", "a.gguf"], "Q4_K"),
      (["--preset", "tiny", "--type", "q4_K", "a/"], ".gguf"),
      (["--preset", "tiny", "a.safetensors"], ".gguf"),
      (["--preset", "tiny", ""], ".gguf"),
    ])
  func wrongArguments(_ arguments: [String], _ message: String) throws {
    let outcome = try CommandLine.run(["synthesize"] + arguments, in: folder.url)
    #expect(outcome.status == 64 && outcome.errors.contains(message))
    #expect(try files().isEmpty)
  }

  @Test("an interrupted run leaves nothing", arguments: ["model.gguf", "model/"])
  func interruption(_ name: String) throws {
    let process = try CommandLine.start(
      ["synthesize", "--preset", "auraflow-v0.2", "--type", "f16", name], in: folder.url,
      errors: FileHandle.nullDevice)
    // The temporary file shows that the work has begun.
    let deadline = Date(timeIntervalSinceNow: 20)
    while try files().isEmpty, process.isRunning, Date() < deadline { usleep(2000) }
    process.interrupt()
    process.waitUntilExit()
    #expect(try files().isEmpty)
    // Where the disk has no room for the model, it was refused before.
    #expect([130, 73].contains(process.terminationStatus))
  }
}
