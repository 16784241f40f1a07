import Foundation
import TestSupport
import Testing

import TextToImage

/// Pictures of several prompts, one after the other or together.
@Suite("Several prompts of one run")
struct SeveralPromptsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The last line is of another kind than the others.
  private static let lines = """
    a red apple
    {"prompt": "a cat in front of a green wall", "numImages": 2}
    {"prompt": "", "negativePrompt": "a house", "seed": 9}
    {"prompt": "a blue (car:1.3)", "promptWeights": "a1111"}
    {"prompt": "a dog", "steps": 2}
    """

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func pictures(_ start: String) throws -> [Data] {
    try (0..<6).map { index in
      try Data(contentsOf: URL(fileURLWithPath: folder.path("\(start)_\(index).png")))
    }
  }

  @Test(
    "prompts that agree go through the steps together and are the pictures that each is alone",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"),
    arguments: ["tiny", "tiny-flux"])
  func together(preset: String) throws {
    #expect(
      try run(["synthesize", "--preset", preset, "--type", "f32", "m.gguf", "-q"]).status == 0)
    try folder.write(Array(Self.lines.utf8), to: "p.txt")
    let size = ["-W", "64", "-H", "64", "--steps", "3", "-v", "--force"]
    func generate(_ memory: String, _ output: String) throws -> CommandLine.Outcome {
      try run(
        ["generate", "-m", "m.gguf", "-f", "p.txt", "--memory", memory, "-o", output] + size)
    }
    let roomy = try generate("max", "max_%d.png")
    #expect(roomy.status == 0 && !roomy.errors.contains("together"), "\(roomy.errors)")
    #expect(roomy.errorLines.contains { $0.hasPrefix("pictures 1-6/6: encoding text") })
    for (index, line) in Self.lines.split(separator: "\n").enumerated() {
      try folder.write(Array(line.utf8), to: "one.txt")
      let first = index > 1 ? index + 1 : index
      let alone = try run(
        [
          "generate", "-m", "m.gguf", "-f", "one.txt", "--memory", "max", "-o",
          index == 1 ? "alone_1.png" : "alone_\(first).png", "--seed", "\(first)",
        ] + size)
      #expect(alone.status == 0, "\(alone.errors)")
    }
    for (name, index) in [("alone_1_000.png", 1), ("alone_1_001.png", 2)] {
      try FileManager.default.moveItem(
        atPath: folder.path(name), toPath: folder.path("alone_\(index).png"))
    }
    let apart = try pictures("alone")
    #expect(try pictures("max") == apart)
    var found = false
    for mebibytes in stride(from: 38, to: 60, by: 2) where !found {
      let tight = try generate("\(mebibytes)MiB", "tight_%d.png")
      guard tight.errors.contains("note: up to 5 pictures are made together") else { continue }
      found = true
      #expect(
        tight.status == 0 && tight.errorLines.contains { $0.hasPrefix("pictures 1-5/6: step") })
      #expect(tight.errorLines.contains { $0.hasPrefix("picture 6/6: step 2/2") })
      #expect(try pictures("tight") == apart)
    }
    #expect(found)
  }

  @Test("a group is no larger than eight, and groups of a run are of like sizes")
  func sizes() throws {
    let model = try ShippedModel.path()
    var request = GenerationRequest(prompt: "a red apple")
    (request.width, request.height, request.steps) = (64, 64, 2)
    let pipeline = try Pipeline(ModelPaths(model: model), threadCount: 2)
    let least = pipeline.leastMemory(for: try pipeline.settings(for: request))
    func sizes(_ count: Int, _ limit: Int?) throws -> [Int] {
      try pipeline.groupSizes(Array(repeating: request, count: count), limit: limit)
    }
    let limit = try #require(
      try stride(from: least, to: least + 32 << 20, by: 1 << 20).first {
        try sizes(8, $0) == [8]
      })
    #expect(try sizes(1, limit) == [1] && sizes(9, limit) == [5, 4])
    #expect(try sizes(20, limit) == [7, 7, 6])
    #expect(try sizes(0, limit) == [] && sizes(3, nil) == [1, 1, 1])
  }

  @Test(
    "budgets hold for many prompts",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func budgets() throws {
    let lines = (0..<40).map {
      "a red apple \($0) " + String(repeating: "and more ", count: $0 % 9)
    }
    try folder.write(Array(lines.joined(separator: "\n").utf8), to: "p.txt")
    var pictures: Set<[Data]> = []
    for budget in ["48MiB", "56MiB", "max"] {
      let outcome = try CommandLine.run(
        [
          "generate", "-f", "p.txt", "-o", "a_%d.png", "--steps", "1", "-W", "64", "-H",
          "64", "--memory", budget, "--stats", "s.json", "--force",
        ], in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let peak = try #require(try PeakResident(folder.path("s.json")).bytes)
      if budget != "max" { #expect(peak <= (budget == "48MiB" ? 48 : 56) << 20, "\(budget)") }
      pictures.insert(
        try lines.indices.map {
          try Data(contentsOf: URL(fileURLWithPath: folder.path("a_\($0).png")))
        })
    }
    #expect(pictures.count == 1)
  }

  @Test(
    "lines start from pictures of their own, together too",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func starts() throws {
    let size = ["-W", "64", "-H", "64", "--steps", "4", "--force", "-q"]
    for (name, prompt) in [("a", "a cat"), ("b", "a house")] {
      #expect(try run(["generate", "-p", prompt, "-o", "\(name).png"] + size).status == 0)
    }
    let lines = [
      "{\"prompt\": \"a dog\", \"initImage\": \"a.png\"}",
      "{\"prompt\": \"a fox\", \"initImage\": \"b.png\", \"mask\": \"a.png\"}",
      "{\"prompt\": \"a bus\", \"initImage\": \"a.png\"}", "{\"prompt\": \"a car\"}",
    ]
    try folder.write(Array(lines.joined(separator: "\n").utf8), to: "p.txt")
    let options = ["generate", "-f", "p.txt", "--resize", "fit"] + size
    #expect(try run(options + ["--memory", "max", "-o", "r_%d.png"]).status == 0)
    var sizes: Set<Int> = []
    for mebibytes in [46, 50, 54] {
      let outcome = try run(
        options + ["--memory", "\(mebibytes)MiB", "-o", "t_%d.png", "--stats", "s.json"])
      guard outcome.status == 0 else { continue }
      for index in 0..<4 {
        #expect(
          try Data(contentsOf: URL(fileURLWithPath: folder.path("t_\(index).png")))
            == Data(contentsOf: URL(fileURLWithPath: folder.path("r_\(index).png"))))
      }
      let peak = try #require(try PeakResident(folder.path("s.json")).bytes)
      #expect(peak <= mebibytes << 20)
      sizes.insert(mebibytes)
    }
    #expect(!sizes.isEmpty)
    let alone = try run(
      ["generate", "-p", "a dog", "-i", "a.png", "--resize", "fit", "-o", "x.png"] + size)
    #expect(alone.status == 0, "\(alone.errors)")
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: folder.path("x.png")))
        == Data(contentsOf: URL(fileURLWithPath: folder.path("r_0.png"))))
    for (line, fault) in [
      ("{\"prompt\": \"a\", \"strength\": 0.5}", "prompt 1 of q.txt: strength is for initImage"),
      ("{\"prompt\": \"a\", \"initImage\": \"no.png\"}", "no.png: No such file"),
      ("{\"prompt\": \"a\", \"initImage\": \"a.png\", \"strength\": 2}", "prompt 1 of q.txt"),
    ] {
      try folder.write(Array(line.utf8), to: "q.txt")
      let outcome = try run(["generate", "-f", "q.txt", "-o", "z.png"])
      #expect(
        [64, 66].contains(outcome.status) && outcome.errors.contains(fault), "\(outcome.errors)")
    }
  }

  @Test("no requests make no pictures")
  func none() async throws {
    let pipeline = try Pipeline(ModelPaths(model: try ShippedModel.path()), threadCount: 1)
    #expect(try await pipeline.generate([]) { _ in }.stepSeconds.isEmpty)
  }
}
