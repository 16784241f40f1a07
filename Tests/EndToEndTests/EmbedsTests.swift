import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

@Suite("Encoded prompts")
struct EmbedsTests {
  private let pictures: PictureFolder

  init() throws { pictures = try PictureFolder() }

  private var folder: TemporaryFolder { pictures.folder }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try pictures.run(arguments)
  }

  private func pixels(_ name: String) throws -> RGBImage { try pictures.pixels(name) }

  private func metadata(_ name: String) throws -> JSONValue {
    let bytes = [UInt8](try Data(contentsOf: folder.url.appendingPathComponent(name)))
    return try JSONValue(parsing: try #require(PNGTexts.read(bytes)?["auraflow"]))
  }

  @Test("are what diffusers' encoders make of the prompt, with its names, shapes and mask")
  func reference() async throws {
    let models = try SeededWeights.pipelineFolder("wide-negative")
    let embeds = try await Pipeline(path: models.path).embeds(
      of: try GoldenRequest("wide-negative").request)
    try folder.write(embeds.safetensorsData(), to: "e.safetensors")
    let (written, golden) = (
      try Golden(path: folder.path("e.safetensors")),
      try Golden("pipelines/wide-negative/golden.safetensors")
    )
    for (name, ids) in [
      ("prompt_embeds", "input_ids"), ("negative_prompt_embeds", "negative_input_ids"),
    ] {
      let shape = try golden.shape(name)
      #expect(try written.shape(name) == [1] + shape)
      // The reference puts padding before the text, where it counts as much.
      let (found, wanted) = (
        try written.floats(name), try golden.floats(name).drop { $0 == 0 }
      )
      #expect(
        relativeError(Array(found.prefix(wanted.count)), Array(wanted)) < Tolerance.network)
      #expect(found.dropFirst(wanted.count).allSatisfy { $0 == 0 })
      let mask = try written.floats(
        name.replacingOccurrences(of: "prompt_embeds", with: "prompt_attention_mask"))
      let count = try golden.shape(ids)[0]
      #expect(mask == (0..<shape[0]).map { $0 < count ? 1 : 0 })
    }
  }

  @Test("a FLUX.1 model without text encoders and tokenizers draws the same bits from them")
  func flux() async throws {
    for (model, name) in [("dev", 0), ("schnell", 2)] {
      let models = try SeededWeights.pipelineFolder(model, in: "flux-pipelines")
      let row = try #require(try FluxRequest.all([model]).dropFirst(name).first)
      var request = try row.request(try Golden(row.goldenPath))
      let whole = try Pipeline(path: models.path)
      let result = try await whole.generate(request)
      let embeds = try await whole.embeds(of: request)
      for part in ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"] {
        try FileManager.default.removeItem(atPath: models.path(part))
      }
      var paths = ModelPaths(model: models.path)
      #expect(throws: ModelFileError.self) { try Pipeline(paths) }
      paths.opensTextEncoders = false
      let bare = try Pipeline(paths)
      await #expect(throws: GenerationError.self) { try await bare.generate(request) }
      try folder.write(embeds.safetensorsData(), to: "\(model).safetensors")
      request.embeds = try PromptEmbeds(path: folder.path("\(model).safetensors"))
      #expect(try await bare.generate(request).latents == result.latents)
      let names = bare.memoryPlan(for: try bare.settings(for: request), limit: nil).stages.map(
        \.name)
      #expect(!names.contains { $0.contains("text encoder") }, "\(names)")
      // With encoders at hand they are neither planned nor read.
      let kept = whole.memoryPlan(for: try whole.settings(for: request), limit: nil).stages
      #expect(kept.map(\.name) == names)
      #expect(try await whole.generate(request).latents == result.latents)
    }
  }

  @Test(
    "a picture from a file is the one from the prompt, and the file's texts are its metadata",
    arguments: [
      [], ["-n", "a dog"], ["--prompt-weights", "comfy", "-b", "2"], ["--guidance-scale", "1"],
    ])
  func same(_ arguments: [String]) throws {
    let own = ["-p", "a (red:1.3) apple", "--steps", "2", "-s", "3"]
    #expect(try run(own + arguments + ["-o", "a.png"]).status == 0)
    let saved = try run(own + arguments + ["-o", "b.png", "--save-embeds", "e.safetensors"])
    #expect(saved.status == 0, "\(saved.errors)")
    let isGuided = !arguments.contains("--guidance-scale")
    let rest =
      (arguments.contains("-b") ? ["-b", "2"] : []) + (isGuided ? [] : ["--guidance-scale", "1"])
    let loaded = try run(
      ["--embeds", "e.safetensors", "--steps", "2", "-s", "3", "-o", "c.png"] + rest)
    #expect(loaded.status == 0, "\(loaded.errors)")
    let last = arguments.contains("-b") ? "_001" : ""
    #expect(try pixels("b\(last).png") == pixels("a\(last).png"))
    #expect(try pixels("c\(last).png") == pixels("a\(last).png"))
    let (first, second) = (try metadata("a\(last).png"), try metadata("c\(last).png"))
    for key in ["prompt", "negativePrompt", "promptWeights", "seed", "guidanceScale"] {
      #expect(first[key]?.text() == second[key]?.text(), "\(key)")
    }
    #expect(second["inputs"]?.arrayValue?.first?["name"]?.stringValue == "e.safetensors")
    // Again, the file being found beside the picture.
    let again = try run(["--from", "c\(last).png", "-o", "d.png"])
    #expect(again.status == 0, "\(again.errors)")
    #expect(try pixels("d.png") == pixels("a\(last).png"))
  }

  @Test("a replayed picture takes another prompt instead, or misses its file")
  func replay() throws {
    let quick = ["--steps", "2"]
    #expect(
      try run(quick + ["-p", "a cat", "-o", "a.png", "--save-embeds", "e.safetensors"]).status == 0)
    #expect(try run(quick + ["--embeds", "e.safetensors", "-o", "b.png"]).status == 0)
    let other = try run(["--from", "b.png", "-p", "a dog", "-o", "c.png"])
    #expect(other.status == 0, "\(other.errors)")
    #expect(try run(quick + ["-p", "a dog", "-o", "d.png"]).status == 0)
    #expect(try pixels("c.png") == pixels("d.png"))
    let negative = try run(["--from", "b.png", "-n", "a dog", "-o", "f.png"])
    #expect(negative.status == 64 && negative.errors.contains("contradict"), "\(negative.errors)")
    try FileManager.default.removeItem(atPath: folder.path("e.safetensors"))
    let missing = try run(["--from", "b.png", "-o", "g.png"])
    #expect(missing.status == 66 && missing.errors.contains("name it with --embeds"))
  }

  @Test("writing them changes no picture, blended or not, and a shift comes back with the picture")
  func written() throws {
    func run(_ arguments: [String]) throws -> CommandLine.Outcome {
      try CommandLine.run(["generate", "--steps", "2", "--force"] + arguments, in: folder.url)
    }
    func bytes(_ name: String) throws -> Data {
      try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
    }
    #expect(try run(["-p", "a cat", "--save-embeds", "e.st", "-o", "c.png"]).status == 0)
    let blend = ["-p", "a red apple", "--blend-embeds", "e.st:0.5"]
    #expect(try run(blend + ["-o", "b1.png"]).status == 0)
    #expect(try run(blend + ["--save-embeds", "m.st", "-o", "b2.png"]).status == 0)
    #expect(try bytes("b1.png") == bytes("b2.png"))
    #expect(try run(["--embeds", "e.st", "--shift", "4", "-o", "s1.png"]).status == 0)
    #expect(try run(["--from", "s1.png", "-o", "s2.png"]).status == 0)
    #expect(try bytes("s1.png") == bytes("s2.png"))
    let long = String(repeating: "a red apple and ", count: 20)
    let told = try run(["-p", long, "--save-embeds", "l.st", "-o", "l.png", "--json"])
    #expect(try JSONValue(parsing: told.output)["droppedTokens"]?.integerValue ?? 0 > 0)
  }

  @Test("plan leaves text encoders out, and named ones are told to be idle")
  func plan() throws {
    func run(_ arguments: [String]) throws -> CommandLine.Outcome {
      try CommandLine.run(arguments, in: folder.url)
    }
    let steps = ["--steps", "1"]
    let saved = try run(["generate", "-p", "a", "--save-embeds", "e.safetensors"] + steps)
    #expect(saved.status == 0)
    let plan = ["plan", "--no-trial", "--memory", "max"]
    let (whole, bare) = (try run(plan), try run(plan + ["--embeds", "e.safetensors"]))
    #expect(whole.output.contains("text encoder") && bare.status == 0, "\(bare.errors)")
    #expect(!bare.output.contains("text encoder"), "\(bare.output)")
    let both = try run(plan + ["--embeds", "e.safetensors", "-n", "x"])
    #expect(both.status == 64 && both.errors.contains("contradicts"))
    let model = try ShippedModel.path()
    let named = try run(
      ["generate", "-m", model, "--tokenizer", model, "--embeds", "e.safetensors", "--force"]
        + steps)
    #expect(named.status == 0 && named.errors.contains("--tokenizer: not read"), "\(named.errors)")
  }

  @Test(
    "texts beside them are refused, and options of one prompt with a file of prompts",
    arguments: [
      ["--embeds", "e", "-p", "x"], ["--embeds", "e", "-f", "p.txt"],
      ["--embeds", "e", "-n", "x"], ["--embeds", "e", "--prompt-weights", "comfy"],
      ["--embeds", "e", "--max-sequence-length", "9"], ["--embeds", ""],
      ["-f", "p.txt", "--save-embeds", "e"], ["-f", "p.txt", "--blend-embeds", "e:0.5"],
      ["-p", "x", "--blend-embeds", "e"], ["-p", "x", "--blend-embeds", "e:1.5"],
      ["-p", "x", "--blend-latents", "e:nan"],
      ["-p", "x", "--blend-latents", "e:0.5", "-i", "a.png"],
      ["-p", "x", "--save-embeds", "o.png", "-o", "o.png"],
    ])
  func usage(_ arguments: [String]) throws {
    let outcome = try run(arguments)
    #expect(outcome.status == 64 && !outcome.errors.isEmpty, "\(outcome.errors)")
  }

  // MARK: Hostile files

  private typealias Tensor = RawSafetensors.Tensor

  /// A file that fits the shipped model, with some tensors in place of its own.
  private func write(
    _ tensors: [Tensor], without names: Set<String> = [], family: String? = "AuraFlow",
    version: String = "1"
  ) throws -> CommandLine.Outcome {
    let width = 256
    let usual = ["", "negative_"].flatMap { prefix in
      [
        Tensor(
          prefix + "prompt_embeds", [1, 3, width],
          [Float](repeating: 0.1, count: 2 * width) + [Float](repeating: 0, count: width)),
        Tensor(prefix + "prompt_attention_mask", [1, 3], [1, 1, 0]),
      ]
    }
    let replaced = Set(tensors.map(\.name)).union(names)
    try folder.write(
      RawSafetensors.encode(
        usual.filter { !replaced.contains($0.name) } + tensors,
        metadata: [("embeds_version", version)] + (family.map { [("family", $0)] } ?? [])),
      to: "e.safetensors")
    return try run(["--embeds", "e.safetensors", "--steps", "1", "-o", "o.png", "--force"])
  }

  @Test("files that are not what they should be are refused in one line")
  func hostile() throws {
    let fine = try write([], family: nil)
    try #require(fine.status == 0, "\(fine.errors)")
    let row = 256
    let faults: [([Tensor], Set<String>, Int32, String)] = [
      ([], ["prompt_embeds"], 65, "without 'prompt_embeds'"),
      ([], ["prompt_attention_mask"], 65, "neither"),
      ([], ["negative_prompt_embeds", "negative_prompt_attention_mask"], 64, "guidance-scale 1"),
      ([], ["negative_prompt_embeds"], 65, "without 'negative_prompt_embeds'"),
      ([Tensor("prompt_embeds", [1, 3, 8], [])], [], 64, "rows of 8 elements, expected 256"),
      ([Tensor("prompt_embeds", [2, 3, row], [])], [], 65, "floating-point [1, tokens, width]"),
      ([Tensor("prompt_embeds", .i32, [1, 3, row])], [], 65, "expected floating-point"),
      ([Tensor("prompt_embeds", [1, 0, row], [])], [], 65, "expected floating-point"),
      ([Tensor("prompt_embeds", [1, 5000, 2], [])], [], 65, "at most [4096"),
      ([Tensor("prompt_embeds", [1, 1, 40_000], [])], [], 65, "at most [4096"),
      ([Tensor("prompt_embeds", [1, 3, row], [.nan])], [], 65, "NaN or infinite"),
      (
        [Tensor("prompt_embeds", [1, 3, row], [Float](repeating: 1, count: 3 * row))], [], 65,
        "not zero where"
      ),
      ([Tensor("prompt_attention_mask", [1, 3], [1, 0, 1])], [], 65, "not zero where"),
      ([Tensor("prompt_attention_mask", [1, 3], [])], [], 65, "leaves out every row"),
      (
        [Tensor("prompt_attention_mask", [1, 3 * row], [1])], [], 65, "or parts of rows"
      ),
      ([Tensor("prompt_attention_mask", [1, 4], [1])], [], 65, "expected [1, 3]"),
      ([Tensor("pooled_prompt_embeds", [1, 8], [1])], [], 64, "expected none"),
      ([Tensor("pooled_prompt_embeds", [1, 8, 8], [1])], [], 65, "floating-point [1, width]"),
      ([Tensor("t5", [1, 8], [1])], [], 65, "'t5' is none of embeds"),
    ]
    for (tensors, names, status, message) in faults {
      let outcome = try write(tensors, without: names)
      #expect(outcome.status == status && !outcome.wasSignalled, "\(message): \(outcome.errors)")
      #expect(
        outcome.errors.contains(message) && outcome.errorLines.count == 1, "\(outcome.errors)")
    }
    let family = try write([], family: "FLUX.1")
    #expect(family.status == 64 && family.errors.contains("of FLUX.1, this model is of AuraFlow"))
    let version = try write([], version: "2")
    #expect(version.status == 69 && version.errors.contains("version '2'"))
    try folder.write([1, 2, 3], to: "e.safetensors")
    #expect(try run(["--embeds", "e.safetensors", "-o", "o.png", "--force"]).status == 65)
    #expect(try run(["--embeds", "none.safetensors", "-o", "p.png"]).status == 66)
  }
}
