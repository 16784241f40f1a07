import Foundation
import ModelFiles
import StrictJSON
import Synchronization
import TestSupport
import Testing

import TextToImage

@Suite("Several pictures of one prompt")
struct SeveralPicturesTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func request() -> GenerationRequest {
    var request = GenerationRequest(prompt: "a red apple")
    (request.imageCount, request.steps, request.seed) = (3, 2, 7)
    return request
  }

  @Test("each is handed over when it is finished, and is what it would be alone or together")
  func oneAfterAnother() async throws {
    let path = try ShippedModel.path()
    let pipeline = try Pipeline(ModelPaths(model: path), memory: .max)
    let events = Mutex<[String]>([])
    let result = try await pipeline.generate(
      request(),
      onProgress: { progress in
        let images = progress.pictures.map { "\($0.image)" }.joined(separator: ",")
        events.withLock { $0.append("\(images) \(progress.stage.rawValue)") }
      }, onImage: { image in events.withLock { $0.append("picture \(image.index)") } })
    let steps = (0..<3).flatMap { image in
      Array(repeating: "\(image) denoising", count: 2)
        + ["\(image) decoding", "picture \(image)"]
    }
    #expect(
      events.withLock { $0 } == ["0,1,2 encoding text", "0 preparing schedule"] + steps)
    #expect(result.statistics.stepSeconds.count == 6)
    #expect(result.latentShape == [3, 4, 16, 16] && result.latents.count == 3 * 4 * 16 * 16)
    var single = request()
    (single.imageCount, single.seed) = (1, 8)
    let alone = try await pipeline.generate(single)
    #expect(alone.images[0].pixels == result.images[1].pixels)

    #expect(try pipeline.notes(on: [request()]).isEmpty)
  }

  @Test(
    "where weights are read again at each step they are made together, and it is said",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func together() throws {
    func run(_ arguments: [String]) throws -> CommandLine.Outcome {
      try CommandLine.run(arguments, in: folder.url)
    }
    let size = ["-W", "128", "-H", "128", "--steps", "2"]
    func isTogether(_ mebibytes: Int) throws -> Bool {
      let plan = try run(
        ["plan", "--num-images", "3", "--no-trial", "--json", "--memory", "\(mebibytes)MiB"] + size)
      let found = try JSONValue(parsing: plan.output)["plans"]?.arrayValue?.first
      return found?["picturesAtOnce"]?.integerValue == 3
    }
    let budget = try #require(try (32..<128).first(where: isTogether))
    let generate = ["generate", "-p", "a red apple", "-s", "7", "-b", "3", "-v"] + size
    let together = try run(generate + ["--memory", "\(budget)MiB", "-o", "a.png"])
    #expect(together.status == 0)
    let lines = together.errorLines
    let note = "note: 3 pictures are made together: weights are read again at each step"
    let place = try #require(lines.firstIndex { $0 == note }, "\(together.errors)")
    #expect(place < (try #require(lines.firstIndex { $0.hasSuffix("encoding text") })))
    #expect(lines.contains { $0.hasPrefix("pictures 1-3/3: step 2/2") })
    let apart = try run(generate + ["--memory", "max", "-o", "b.png"])
    #expect(apart.status == 0 && !apart.errors.contains("together"))
    for index in 0..<3 {
      #expect(
        FileManager.default.contents(atPath: folder.path("a_00\(index).png"))
          == FileManager.default.contents(atPath: folder.path("b_00\(index).png")))
    }
  }

  @Test("latents that are given start each picture with its own")
  func latents() async throws {
    let pipeline = try Pipeline(ModelPaths(model: try ShippedModel.path()), memory: .max)
    var request = request()
    request.steps = 1
    let first = try await pipeline.generate(request)
    request.latents = first.latents
    let second = try await pipeline.generate(request)
    for image in 0..<3 {
      var single = request
      single.imageCount = 1
      single.latents = Array(first.latents[image * 1024..<(image + 1) * 1024])
      let alone = try await pipeline.generate(single)
      #expect(alone.latents[...] == second.latents[image * 1024..<(image + 1) * 1024])
    }
  }

  @Test(
    "a picture that becomes undefined does not take those with it that are made at the same time",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func undefined() throws {
    func run(_ arguments: [String]) throws -> CommandLine.Outcome {
      try CommandLine.run(
        ["generate", "-p", "a red apple", "-b", "3", "-W", "64", "-H", "64", "--steps", "2"]
          + arguments, in: folder.url)
    }
    // Finite latents that overflow in the first product.
    let count = 4 * 8 * 8
    let values = (0..<3 * count).map { $0 / count == 1 ? Float(3e38) : Float($0 % 7) / 7 }
    try folder.write(
      SafetensorsWriter.encode([.init(name: "latents", shape: [3, 4, 8, 8], values: values)]),
      to: "l.safetensors")
    let budget = try #require(
      try (36..<64).first { mebibytes in
        try run(["--memory", "\(mebibytes)MiB", "-o", "x.png", "--force", "-v"]).errors
          .contains("3 pictures are made together")
      })
    let outcome = try run(
      ["--latents", "l.safetensors", "--memory", "\(budget)MiB", "-o", "a.png"])
    #expect(outcome.status == 65 && outcome.output == "a_000.png\na_002.png\n", "\(outcome.errors)")
    #expect(outcome.errors.contains("step 1 of 2: the latents hold NaN"))
    #expect(outcome.errors.contains("2 of 3 pictures are finished"))
  }

  @Test("an interruption keeps the pictures that are finished, with their latents and statistics")
  func interruption() throws {
    let process = try CommandLine.start(
      [
        "generate", "-p", "a cat", "-b", "200", "--steps", "10", "-o", "a.png", "--save-latents",
        "l.safetensors", "--stats", "s.json",
      ], in: folder.url, output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    while process.isRunning, !FileSystem.exists(folder.path("a_001.png")) { usleep(1000) }
    process.interrupt()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    let pictures = FileSystem.names(in: folder.path).filter { $0.hasSuffix(".png") }
    #expect((2..<200).contains(pictures.count))
    #expect(
      try Golden(path: folder.path("l.safetensors")).shape("latents") == [
        pictures.count, 4, 16, 16,
      ])
    let stats = try JSONValue(
      parsing: String(contentsOfFile: folder.path("s.json"), encoding: .utf8))
    #expect(stats["images"]?.arrayValue?.compactMap { $0["file"]?.stringValue } == pictures)
    let others = FileSystem.names(in: folder.path).filter { !$0.hasSuffix(".unfinished") }
    #expect(others.count == pictures.count + 2)
  }

  @Test(
    "a failure on the way keeps what was finished before it",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func laterFailure() throws {
    try FileManager.default.copyItem(
      atPath: ShippedModel.path(), toPath: folder.path("m.gguf"))
    // Little memory: weights are read again for each picture.
    let plan = try CommandLine.run(
      [
        "plan", "m.gguf", "--io", "read", "--num-images", "200", "--steps", "10", "--no-trial",
        "--json",
      ], in: folder.url)
    let least = try #require(try JSONValue(parsing: plan.output)["leastBytes"]?.integerValue)
    let process = try CommandLine.start(
      [
        "generate", "-m", "m.gguf", "--io", "read", "-p", "a cat", "-b", "200", "--steps", "10",
        "-o", "a.png", "--stats", "s.json", "--memory", "\(least + (4 << 20))",
      ], in: folder.url, output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    while process.isRunning, !FileSystem.exists(folder.path("a_000.png")) { usleep(1000) }
    #expect(truncate(folder.path("m.gguf"), 1000) == 0)
    process.waitUntilExit()
    #expect(process.terminationStatus == 74)
    let pictures = FileSystem.names(in: folder.path).filter { $0.hasSuffix(".png") }
    let stats = try JSONValue(
      parsing: String(contentsOfFile: folder.path("s.json"), encoding: .utf8))
    #expect(stats["images"]?.arrayValue?.compactMap { $0["file"]?.stringValue } == pictures)
  }
}
