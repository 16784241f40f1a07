import Foundation
import Images
import StrictJSON
import TestSupport
import Testing

import TextToImage

@Suite("auraflow compare")
struct CompareCommandTests {
  private let folder: TemporaryFolder
  private static let prompts = """
    # two prompts
    a red apple on a blue background
    {"prompt": "a cat on a green background", "steps": 2, "width": 96}
    """

  init() throws {
    folder = try TemporaryFolder()
    try folder.write(Array(Self.prompts.utf8), to: "prompts.txt")
  }

  private func compare(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(
      ["compare", "-f", "prompts.txt", "-o", "out"] + arguments, in: folder.url)
  }

  private func results() throws -> JSONValue {
    try JSONValue(
      parsing: String(contentsOfFile: folder.path("out/results.json"), encoding: .utf8))
  }

  private func level(_ name: String) throws -> JSONValue {
    try #require(
      try results()["levels"]?.arrayValue?.first { $0["name"]?.stringValue == name })
  }

  private func cacheDates() throws -> [String: Date] {
    let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path("out/cache"))
      // Folders change when more is put into them.
      .filter { !($0 as NSString).pathExtension.isEmpty }
    return try Dictionary(
      uniqueKeysWithValues: names.map { name in
        let path = folder.path("out/cache/\(name)")
        let date = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate]
        return (name, try #require(date as? Date))
      })
  }

  @Test("a type rounded in several ways is several levels; a calibrated one is nearer")
  func roundings() throws {
    try folder.write(Array("a green bird\na yellow car at night".utf8), to: "others.txt")
    let outcome = try compare(
      "--types", "q2_K", "--rounding", "plain,calibrated", "--calibrate", "others.txt",
      "--calibrate-points", "6", "--no-noise-floor")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("calibrating on 6 points"), "\(outcome.errors)")
    let errors = try ["Q2_K plain", "Q2_K calibrated"].map {
      try #require(try level($0)["velocityError"]?.doubleValue)
    }
    #expect(errors[1] < 0.9 * errors[0], "\(errors)")
    let rest = try FileManager.default.subpathsOfDirectory(atPath: folder.path("out/cache/models"))
    #expect(rest.count == 2, "\(rest)")
    let again = try compare(
      "--types", "q2_K", "--calibrate", "others.txt", "--calibrate-points", "6",
      "--no-noise-floor")
    #expect(again.status == 0 && again.errors.isEmpty, "\(again.errors)")
  }

  @Test(
    "ways of rounding need their files, and files their way",
    arguments: [
      (["--rounding", "imatrix"], "--rounding imatrix needs --imatrix FILE"),
      (["--rounding", "plain,calibrated"], "--rounding calibrated needs --calibrate PROMPTS"),
      (["--rounding", "best"], "'best' is not one of plain, imatrix, calibrated"),
      (["--calibrate", "prompts.txt", "--rounding", "plain"], "--calibrate PROMPTS has no use"),
    ])
  func faultyRoundings(_ arguments: [String], _ message: String) throws {
    let outcome = try CommandLine.run(
      ["compare", "-f", "prompts.txt", "-o", "out", "--types", "q4_0"] + arguments,
      in: folder.url)
    #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test("levels are measured, errors grow as bits shrink, and finished cells are kept")
  func measures() throws {
    let outcome = try compare("--types", "q8_0,q2_K", "--seeds", "0,3")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.output.contains("Q2_K") && outcome.output.contains("report.html"))
    let (good, small) = (try level("Q8_0"), try level("Q2_K"))
    for (key, isBetterHigh) in [("psnr", true), ("ssim", true), ("flip", false)] {
      let medians = try [good, small].map { try #require($0[key]?["median"]?.doubleValue) }
      #expect(isBetterHigh ? medians[0] > medians[1] : medians[0] < medians[1], "\(key)")
    }
    for key in ["velocityError", "bitsPerWeight", "weightError", "bytes", "peakBytes"] {
      let values = try [good, small].map { try #require($0[key]?.doubleValue) }
      let isError = key.hasSuffix("Error")
      #expect(isError ? values[0] < values[1] : values[0] > values[1] * 0.9, "\(key)")
    }
    // Rounding by itself is far below what eight bits a weight change, but it is there.
    let floor = try #require(try level("rounding")["velocityError"]?.doubleValue)
    #expect(floor > 0)
    #expect(floor < 0.01 * (try #require(good["velocityError"]?.doubleValue)))
    #expect(try results()["cells"]?.arrayValue?.count == 4 * 4)
    let sheet = try RGBImage(
      pngData: [UInt8](
        Data(contentsOf: URL(fileURLWithPath: folder.path("out/contact-sheet.png")))))
    #expect(sheet.width > 4 * 128)

    let dates = try cacheDates()
    let before = try String(contentsOfFile: folder.path("out/results.csv"), encoding: .utf8)
    #expect(try compare("--types", "q8_0,q2_K", "--seeds", "0,3").status == 0)
    #expect(try cacheDates() == dates)
    #expect(try String(contentsOfFile: folder.path("out/results.csv"), encoding: .utf8) == before)
    // Another level computes its own cells only.
    #expect(try compare("--types", "q8_0,q2_K,q4_0", "--seeds", "0,3").status == 0)
    #expect(try cacheDates().filter { dates[$0.key] != nil } == dates)
    #expect(try results()["cells"]?.arrayValue?.count == 5 * 4)
  }

  @Test("a second run in the same folder says so and leaves the first alone")
  func twoRuns() throws {
    let first = try CommandLine.start(
      ["compare", "-f", "prompts.txt", "-o", "out", "--types", "q8_0"], in: folder.url,
      output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    while first.isRunning, !FileManager.default.fileExists(atPath: folder.path("out/cache/lock")) {
      usleep(1000)
    }
    usleep(20_000)
    let second = try compare("--types", "q8_0,q4_0")
    #expect(second.status == 73 && second.errorLines.count == 1, "\(second.errors)")
    #expect(second.errors.contains("another run of compare is working in this folder"))
    first.waitUntilExit()
    #expect(first.terminationStatus == 0)
    #expect(try compare("--types", "q8_0").status == 0)
  }

  @Test("models are compared as they are; the page holds every picture and no prompt breaks it")
  func models() throws {
    let shipped = try ShippedModel.path()
    for name in ["a.gguf", "b.gguf"] {
      let converted = try CommandLine.run(
        ["convert", shipped, name, "--type", "q5_0", "-q"], in: folder.url)
      #expect(converted.status == 0)
    }
    try folder.write(
      Array(#"{"prompt": "</script><b>/*PICTURES*/", "steps": 1}"#.utf8), to: "prompts.txt")
    #expect(try compare("--models", "a.gguf", "b.gguf", "--no-noise-floor", "-q").status == 0)
    let scores = """
      file,subject_right
      images/a/001-s0.png,1
      images/a/001-s0-difference.png,0
      images/b/001-s0.png,0

      """
    try folder.write(Array(scores.utf8), to: "out/scores.csv")
    let outcome = try compare("--models", "a.gguf", "b.gguf", "--no-noise-floor", "--json")
    #expect(outcome.status == 0, "\(outcome.errors)")
    let printed = try JSONValue(parsing: outcome.output)
    let levels = try #require(printed["levels"]?.arrayValue)
    #expect(levels.compactMap { $0["name"]?.stringValue } == ["auraflow-icons", "a", "b"])
    // The same weights make the same pictures.
    #expect(levels[1]["psnr"]?["median"]?.doubleValue == levels[2]["psnr"]?["median"]?.doubleValue)
    #expect(levels[1]["scores"]?["subject"]?["right"]?.integerValue == 1)
    #expect(levels[1]["scores"]?["subject"]?["total"]?.integerValue == 1)
    #expect(levels[1]["tensors"]?.arrayValue?.count == 285)
    let list = try String(contentsOfFile: folder.path("out/pictures.jsonl"), encoding: .utf8)
    let pictures = try list.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
    #expect(pictures.count == 3 && pictures[2]["file"]?.stringValue == "images/b/001-s0.png")
    let page = try String(contentsOfFile: folder.path("out/report.html"), encoding: .utf8)
    #expect(page.components(separatedBy: "data:image/png;base64,").count == 1 + 3 + 2)
    #expect(page.components(separatedBy: "</script>").count == 1 + 3)
    // Nothing is loaded from anywhere.
    for loading in ["src=\"http", "href=", "url(", "fetch(", "@import", "import("] {
      #expect(!page.contains(loading), "\(loading)")
    }
  }

  @Test(
    "wrong use is explained",
    arguments: [
      (["--types", "q9"], Int32(64), "'q9' is not one of"),
      (["--types", ","], 64, "names no type"),
      ([], 64, "nothing to compare"), (["--types", "q8_0", "--seeds", "x"], 64, "--seeds: 'x'"),
      (["--models", "absent.gguf"], 66, "absent.gguf"),
      (["--types", "q8_0", "--reference", "absent.gguf"], 66, "absent.gguf"),
      (["--types", "q8_0", "--velocity-points", "0"], 64, "--velocity-points"),
      (["--models", "x", "--imatrix", "y"], 64, "for --types"),
    ])
  func wrongUse(_ arguments: [String], _ status: Int32, _ message: String) throws {
    let outcome = try CommandLine.run(
      ["compare", "-f", "prompts.txt", "-o", "out"] + arguments, in: folder.url)
    #expect(outcome.status == status && outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test("files of prompts and models of other kinds are refused in one line")
  func refusals() throws {
    try folder.write(Array("{\"prompt\": 1}".utf8), to: "bad.txt")
    let bad = try CommandLine.run(
      ["compare", "-f", "bad.txt", "-o", "out", "--types", "q8_0"], in: folder.url)
    #expect(bad.status == 65 && bad.errors.contains("bad.txt: line 1"), "\(bad.errors)")
    let made = try CommandLine.run(
      ["synthesize", "--preset", "tiny", "--type", "f16", "tiny.gguf"], in: folder.url)
    #expect(made.status == 0)
    let mixed = try compare("--models", "tiny.gguf", "--no-noise-floor")
    #expect(mixed.status == 64, "\(mixed.errors)")
    #expect(mixed.errors.contains("only models of one architecture"), "\(mixed.errors)")
    try folder.write(Array("{\"prompt\": \"a\", \"width\": 100}".utf8), to: "prompts.txt")
    let size = try compare("--types", "q8_0")
    #expect(size.status == 64 && size.errors.contains("prompt 1"), "\(size.errors)")
  }

  @Test("pictures of other prompts, models or activations are not taken for a cell's own")
  func ownership() throws {
    func psnr(_ name: String) throws -> Double {
      try #require(try level(name)["psnr"]?["median"]?.doubleValue)
    }
    try folder.write(Array("a cat on a green background\na red car".utf8), to: "prompts.txt")
    #expect(try compare("--types", "q4_0", "-q").status == 0)
    let before = try psnr("Q4_0")
    // The same prompts in another order: every name of a picture now stands for another prompt.
    try folder.write(Array("a red car\na cat on a green background".utf8), to: "prompts.txt")
    #expect(try compare("--types", "q4_0,q5_0", "-q").status == 0)
    #expect(try psnr("Q4_0") == before)
    #expect(try psnr("Q5_0") > before)
    // A picture that was overwritten is made again.
    let picture = "out/images/Q4_0/001-s0.png"
    let own = try Data(contentsOf: URL(fileURLWithPath: folder.path(picture)))
    try folder.write([1, 2, 3], to: picture)
    #expect(try compare("--types", "q4_0", "-q").status == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path(picture))) == own)
    #expect(try psnr("Q4_0") == before)
  }

  @Test("levels that would have one name get two, and other folders are left alone")
  func names() throws {
    let converted = try CommandLine.run(
      ["convert", try ShippedModel.path(), "Q8_0.gguf", "--type", "q4_0", "-q"], in: folder.url)
    #expect(converted.status == 0)
    try folder.write(Array("{\"prompt\": \"a cat\", \"steps\": 2}".utf8), to: "prompts.txt")
    #expect(try compare("--models", "Q8_0.gguf", "--types", "q8_0", "-q").status == 0)
    let errors = try ["Q8_0", "Q8_0-2"].map {
      try #require(try level($0)["velocityError"]?.doubleValue)
    }
    #expect(errors[0] > 2 * errors[1])
    #expect(mkdir(folder.path("mine"), 0o755) == 0)
    try folder.write([1], to: "mine/results.json")
    let refused = try CommandLine.run(
      ["compare", "-f", "prompts.txt", "-o", "mine", "--types", "q8_0"], in: folder.url)
    #expect(refused.status == 73 && refused.errors.contains("holds other files"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("mine")).count == 1)
  }

  @Test("an interrupted comparison keeps finished cells and goes on")
  func interruption() throws {
    let process = try CommandLine.start(
      ["compare", "-f", "prompts.txt", "-o", "out", "--types", "q8_0", "--seeds", "0,1,2,3,4,5"],
      in: folder.url, output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    let cells = folder.path("out/cache/cells")
    func finished() -> [String] {
      ((try? FileManager.default.contentsOfDirectory(atPath: cells)) ?? [])
        .filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }
    }
    let deadline = Date(timeIntervalSinceNow: 60)
    while finished().count < 3, process.isRunning, Date() < deadline { usleep(2000) }
    process.interrupt()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    let kept = Set(finished())
    #expect(kept.count >= 3 && kept.count < 36)
    let dates = try cacheDates().filter { kept.contains(($0.key as NSString).lastPathComponent) }
    #expect(try compare("--types", "q8_0", "--seeds", "0,1,2,3,4,5").status == 0)
    #expect(try cacheDates().filter { dates[$0.key] != nil } == dates)
  }

  @Test("velocities at the points of a path are those that were followed")
  func velocities() async throws {
    let pipeline = try Pipeline(path: try ShippedModel.path())
    var request = GenerationRequest(prompt: "a red apple on a blue background")
    request.steps = 3
    let collected = LatentCollector()
    let result = try await pipeline.generate(request) { collected.add($0) }
    let latents = [try pipeline.initialLatents(for: request)] + collected.latents
    let velocities = try await pipeline.velocities(
      of: request, at: (0..<3).map { TrajectoryPoint(step: $0, latents: latents[$0]) })
    for step in 0..<3 {
      let difference = result.settings.sigmas[step + 1] - result.settings.sigmas[step]
      for index in velocities[step].indices {
        let next = latents[step][index] + difference * velocities[step][index]
        #expect(next == latents[step + 1][index])
      }
    }
  }
}

/// Collects the latents of each step.
private final class LatentCollector: @unchecked Sendable {
  private let lock = NSLock()
  private var collected: [[Float]] = []

  var latents: [[Float]] { lock.withLock { collected } }

  func add(_ progress: GenerationProgress) {
    guard progress.stage == .denoising else { return }
    lock.withLock { collected.append(progress.latents[0]) }
  }
}
