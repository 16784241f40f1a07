import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing

@Suite("auraflow generate")
struct GenerateCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Few steps of the shipped model.
  private let quick = ["generate", "--prompt", "a red apple", "--steps", "2"]

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.url.appendingPathComponent(name)))
  }

  @Test("without a model it draws with the shipped one, from any folder")
  func shippedModel() throws {
    let outcome = try run(quick + ["-o", "apple.png"])
    #expect(outcome.status == 0)
    #expect(outcome.output == "apple.png\n")
    #expect(outcome.errors.isEmpty)
    let image = try RGBImage(pngData: try bytes("apple.png"))
    #expect(image.width == 128 && image.height == 128)
    #expect(try files() == ["apple.png"])
  }

  @Test("the same seed gives the same picture with any number of threads")
  func determinism() throws {
    for threads in ["1", "2", "3"] {
      #expect(try run(quick + ["-o", "\(threads).png", "-t", threads, "-s", "5"]).status == 0)
    }
    #expect(try bytes("1.png") == bytes("2.png"))
    #expect(try bytes("1.png") == bytes("3.png"))
  }

  @Test("several images get numbered names and the seeds that follow")
  func severalImages() throws {
    #expect(try run(quick + ["-b", "2", "-s", "7", "-o", "out.png"]).status == 0)
    #expect(try files() == ["out_000.png", "out_001.png"])
    #expect(try run(quick + ["-s", "8", "-o", "single_%02d.png"]).status == 0)
    let second = try RGBImage(pngData: try bytes("out_001.png"))
    let single = try RGBImage(pngData: try bytes("single_00.png"))
    let largest = zip(second.pixels, single.pixels).map { abs(Int($0) - Int($1)) }.max()
    #expect(try #require(largest) <= 1)
    let text = String(decoding: try bytes("out_001.png"), as: UTF8.self)
    #expect(text.contains("Seed: 8"))
  }

  @Test("the picture's metadata tells how it was made, without paths")
  func metadata() throws {
    #expect(
      try run(quick + ["-n", "-blurry", "-o", "m.png", "--cfg-scale", "2.5", "-s", "3"]).status == 0
    )
    let text = String(decoding: try bytes("m.png"), as: UTF8.self)
    #expect(text.contains("a red apple\nNegative prompt: -blurry\nSteps: 2, Sampler: Euler"))
    #expect(text.contains("CFG scale: 2.5, Seed: 3, Size: 128x128, Model: auraflow-icons"))
    #expect(text.contains("\"guidanceScale\":2.5"))
    #expect(!text.contains("models/") && !text.contains(folder.path))
  }

  @Test("a negative prompt that took no part is not in the metadata")
  func unusedNegativePrompt() throws {
    let outcome = try run(quick + ["-n", "blurry", "-o", "m.png", "--cfg-scale", "1"])
    #expect(outcome.status == 0 && outcome.errors.contains("no effect"))
    #expect(!String(decoding: try bytes("m.png"), as: UTF8.self).contains("blurry"))
  }

  @Test("any text is a prompt, even two dashes", arguments: [["--prompt"], ["-n", "x", "-p"]])
  func dashes(arguments: [String]) throws {
    let outcome = try run(["generate"] + arguments + ["--", "--steps", "1", "-o", "m.png"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(String(decoding: try bytes("m.png"), as: UTF8.self).contains("\"prompt\":\"--\""))
  }

  @Test("percent signs in output names mean what they mean to printf")
  func percentSigns() throws {
    let short = ["generate", "-p", "x", "--steps", "1", "-o"]
    for (pattern, more) in [
      ("a%%d.png", []), ("b%%.png", []), ("c%%%02d%%.png", ["-b", "2"]), ("d%%.png", ["-b", "2"]),
      ("e%x.png", []),
    ] {
      #expect(try run(short + [pattern] + more).status == 0)
    }
    #expect(
      try files() == [
        "a%d.png", "b%.png", "c%00%.png", "c%01%.png", "d%_000.png", "d%_001.png", "e%x.png",
      ])
  }

  @Test("latents go out and come in again")
  func latents() throws {
    #expect(
      try run(
        quick + ["-o", "a.png", "--save-latents", "a.safetensors", "--stats", "stats.json"]
      ).status == 0)
    let saved = try Golden(path: folder.path("a.safetensors"))
    #expect(try saved.shape("latents") == [1, 4, 16, 16])
    let stats = try bytes("stats.json").withUnsafeBytes { try JSONValue(parsing: $0) }
    #expect(stats["seconds"]?["steps"]?.arrayValue?.count == 2)
    #expect(try #require(stats["peakResidentBytes"]?.integerValue) > 1 << 20)
    // Without steps to speak of, given latents come back nearly unchanged.
    #expect(
      try run(
        quick.dropLast(2) + [
          "-o", "b.png", "--latents", "a.safetensors", "--sigmas", "1e-6", "--save-latents",
          "b.safetensors",
        ]
      ).status == 0)
    let again = try Golden(path: folder.path("b.safetensors"))
    #expect(
      relativeError(try again.floats("latents"), try saved.floats("latents"))
        < Tolerance.latents)
  }

  @Test("existing files are kept unless --force is given")
  func force() throws {
    try folder.write(Array("precious".utf8), to: "out.png")
    let refused = try run(quick + ["-o", "out.png"])
    #expect(refused.status == 73)
    #expect(refused.errorLines.count == 1 && refused.errors.contains("--force"))
    #expect(try bytes("out.png") == Array("precious".utf8))
    #expect(try run(quick + ["-o", "out.png", "--force"]).status == 0)
    #expect(try RGBImage(pngData: try bytes("out.png")).width == 128)
  }

  @Test(
    "impossible requests end with one line and the fitting code",
    arguments: [
      (["-W", "100"], 64, "nearest is 96"), (["-H", "-16"], 64, "-16"), (["-W", "0"], 64, "0"),
      (["-W", "272"], 64, "256"), (["--steps", "0"], 64, "steps"),
      (["--cfg-scale", "nan"], 64, "guidance"), (["--num-images", "0"], 64, "images"),
      (["--max-sequence-length", "0"], 64, "sequence"), (["--sigmas", "2,1"], 64, "sigmas"),
      (["--sigmas", "1,0.5,0.2"], 64, "contradict"), (["--shift", "0"], 64, "shift"),
      (["-m", "missing.gguf"], 66, "missing.gguf"), (["-o", "no/such/folder.png"], 73, "no/such"),
      (["-o", "."], 73, "folder"), (["-o", "picture.jpg"], 64, "PNG"),
      (["--latents", "missing.safetensors"], 66, "missing.safetensors"),
      (["--threads", "0"], 64, "threads"), (["--vae", "missing"], 66, "missing"),
    ])
  func impossible(arguments: [String], status: Int32, fragment: String) throws {
    let outcome = try run(
      ["generate", "--prompt", "x", "--output", "out.png", "--steps", "2"] + arguments)
    #expect(outcome.status == status)
    #expect(!outcome.wasSignalled)
    #expect(outcome.errors.contains(fragment), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    #expect(try files().isEmpty)
  }

  @Test("an interrupt ends it within two seconds and leaves nothing behind", arguments: [2, 15])
  func interrupt(signal: Int32) throws {
    let process = try CommandLine.start(
      ["generate", "-p", "a cat", "--steps", "5000", "-o", "cat.png"], in: folder.url,
      output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    Thread.sleep(forTimeInterval: 0.7)
    let start = ContinuousClock.now
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(ContinuousClock.now - start < .seconds(2))
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 128 + signal)
    #expect(try files().isEmpty)
  }

  @Test("a signal at any moment after the start ends it", arguments: [2, 15])
  func earlyInterrupt(signal: Int32) throws {
    for delay in 0...50 {
      let process = try CommandLine.start(
        ["generate", "-p", "a cat", "--steps", "5000", "-o", "cat.png"], in: folder.url,
        output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
      usleep(UInt32(delay) * 1000)
      kill(process.processIdentifier, signal)
      // A lost signal would be minutes of work.
      let deadline = ContinuousClock.now + .seconds(4)
      while process.isRunning, ContinuousClock.now < deadline { usleep(1000) }
      let wasLost = process.isRunning
      if wasLost { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
      #expect(!wasLost, "after \(delay) ms")
      // Before the program has taken over its signals, the system ends it.
      let status = process.terminationStatus
      let expected = process.terminationReason == .uncaughtSignal ? signal : 128 + signal
      #expect(wasLost || status == expected, "after \(delay) ms")
    }
    #expect(try files().isEmpty)
  }

  @Test("a device as output is written to, not replaced")
  func device() throws {
    #expect(try run(quick + ["-o", "/dev/null"]).status == 0)
    let attributes = try FileManager.default.attributesOfItem(atPath: "/dev/null")
    #expect(attributes[.type] as? FileAttributeType == .typeCharacterSpecial)
    let full = try run(quick + ["-o", "/dev/full"])
    #expect(full.status == 73 && full.errorLines.count == 1)
  }

  @Test("a prompt that is cut says so")
  func cutPrompt() throws {
    let outcome = try run(quick + ["--max-sequence-length", "3", "-o", "cut.png"])
    #expect(outcome.status == 0)
    #expect(outcome.errors.contains("cut"))
    let quiet = try run(quick + ["--max-sequence-length", "3", "-o", "quiet.png", "--quiet"])
    #expect(quiet.status == 0 && quiet.errors.isEmpty && quiet.output.isEmpty)
  }
}
