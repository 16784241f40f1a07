import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

@Suite("Ways between two pictures")
struct BlendTests {
  private let pictures: PictureFolder

  init() throws { pictures = try PictureFolder() }

  private var folder: TemporaryFolder { pictures.folder }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try pictures.run(arguments)
  }

  private func pixels(_ name: String) throws -> RGBImage { try pictures.pixels(name) }

  @Test(
    "are what diffusers makes of mixed embeddings and noise",
    arguments: [("auraflow", "pipelines"), ("flux", "flux-pipelines")])
  func reference(_ name: String, _ group: String) async throws {
    let asked = try #require(try Fixtures.json("blends/requests.json")[name])
    let golden = try Golden("blends/\(name).safetensors")
    func text(_ key: String) -> String { asked[key]?.stringValue ?? "" }
    func number(_ key: String) throws -> Int { try #require(asked[key]?.integerValue) }
    let models = try SeededWeights.pipelineFolder(text("pipeline"), in: group)
    let pipeline = try Pipeline(path: models.path)
    let lengths = (asked["lengths"]?.arrayValue ?? []).compactMap(\.integerValue)
    var request = GenerationRequest(prompt: text("other_prompt"))
    request.negativePrompt = text("other_negative_prompt")
    request.width = try number("width")
    request.height = try number("height")
    request.steps = try number("steps")
    let scale = asked["guidance_scale"]?.doubleValue
    if name == "flux" { request.guidance = scale } else { request.guidanceScale = scale }
    request.maxSequenceLength = lengths[1]
    let other = try await pipeline.embeds(of: request)
    request.prompt = text("prompt")
    request.negativePrompt = text("negative_prompt")
    request.maxSequenceLength = lengths[0]
    request.seed = UInt64(try number("seed"))
    request.embedsBlend = EmbedsBlend(other, share: try #require(asked["share"]?.doubleValue))
    request.latentsBlend = LatentsBlend(
      try golden.floats("other_noise"), share: try #require(asked["noise_share"]?.doubleValue))
    let mixed = try await pipeline.embeds(of: request)
    try folder.write(mixed.safetensorsData(), to: "e.safetensors")
    let written = try Golden(path: folder.path("e.safetensors"))
    for tensor in golden.names where tensor.hasSuffix("embeds") && !tensor.hasPrefix("other") {
      #expect(try written.shape(tensor) == golden.shape(tensor))
      #expect(
        relativeError(try written.floats(tensor), try golden.floats(tensor)) < Tolerance.network)
    }
    let result = try await pipeline.generate(request)
    #expect(relativeError(result.latents, try golden.floats("latents")) < Tolerance.latents)
    // The arguments of diffusers' pipeline are a file too.
    let tensors = golden.names.filter { $0.hasPrefix("other_") && $0 != "other_noise" }
    try folder.write(
      SafetensorsWriter.encode(
        try tensors.map {
          .init(
            name: String($0.dropFirst(6)), shape: try golden.shape($0),
            values: try golden.floats($0))
        }), to: "d.safetensors")
    request.embedsBlend?.embeds = try PromptEmbeds(path: folder.path("d.safetensors"))
    let foreign = try await pipeline.generate(request)
    #expect(relativeError(foreign.latents, try golden.floats("latents")) < Tolerance.latents)
  }

  @Test("the ends are the pictures without, bit for bit", arguments: ["euler", "euler_a"])
  func ends(_ sampler: String) throws {
    let quick = ["--steps", "2", "--sampler", sampler, "-s", "4"]
    let first = ["-p", "a red apple"]
    let second = ["-p", "a cat in front of a green wall", "-n", "x"]
    #expect(
      try run(quick + first + ["-s", "6", "-o", "l.png", "--save-latents", "l.safetensors"])
        .status == 0)
    #expect(try run(quick + first + ["-o", "a.png"]).status == 0)
    #expect(
      try run(quick + second + ["-o", "b.png", "--save-embeds", "e.safetensors"]).status == 0)
    #expect(
      try run(quick + ["--embeds", "e.safetensors", "-o", "only.png"]).status == 0)
    #expect(
      try run(quick + first + ["--latents", "l.safetensors", "-o", "from.png"]).status == 0)
    for (option, file, end) in [
      ("--blend-embeds", "e.safetensors", "only.png"),
      ("--blend-latents", "l.safetensors", "from.png"),
    ] {
      for share in ["0", "0.5", "1"] {
        let name = "\(option.dropFirst(8))-\(share).png"
        let outcome = try run(quick + first + [option, "\(file):\(share)", "-o", name])
        #expect(outcome.status == 0, "\(outcome.errors)")
        // Each comes again from its own metadata.
        let again = try run(["--from", name, "-o", "again-\(name)"])
        #expect(again.status == 0, "\(again.errors)")
        #expect(try pixels("again-\(name)") == pixels(name))
      }
      let stem = option.dropFirst(8)
      #expect(try pixels("\(stem)-0.png") == pixels("a.png"))
      #expect(try pixels("\(stem)-1.png") == pixels(end))
      let middle = try pixels("\(stem)-0.5.png")
      #expect(try middle != pixels("a.png") && middle != pixels(end))
    }
    // Between two files no text encoder takes part.
    let between = ["--embeds", "e.safetensors", "--blend-embeds", "e.safetensors:0.5"]
    #expect(try run(quick + between + ["-o", "c.png"]).status == 0)
    #expect(try pixels("c.png") == pixels("only.png"))
  }

  @Test("several pictures go to those of the file, or all to its only one")
  func several() throws {
    let quick = ["--steps", "2", "-p", "a red apple"]
    #expect(
      try run(quick + ["-b", "2", "-s", "8", "-o", "n.png", "--save-latents", "l.safetensors"])
        .status == 0)
    let blend = quick + ["--blend-latents", "l.safetensors:0.3"]
    #expect(try run(blend + ["-b", "2", "-o", "a.png"]).status == 0)
    #expect(try run(["--from", "a_001.png", "-o", "b.png"]).status == 0)
    #expect(try pixels("a_001.png") == pixels("b.png"))
    let count = try run(blend + ["-b", "3", "-o", "c.png"])
    #expect(count.status == 64 && count.errors.contains("--num-images 2"), "\(count.errors)")
    let size = try run(blend + ["-b", "2", "-W", "64", "-H", "64", "-o", "c.png"])
    #expect(size.status == 64 && size.errors.contains("--width 128"), "\(size.errors)")
  }

  @Test("FLUX.1 mixes prompts of one length only, and says which")
  func lengths() async throws {
    let models = try SeededWeights.pipelineFolder("schnell", in: "flux-pipelines")
    let pipeline = try Pipeline(path: models.path)
    var request = GenerationRequest(prompt: "a rocket")
    (request.width, request.height, request.maxSequenceLength) = (48, 48, 16)
    let embeds = try await pipeline.embeds(of: request)
    request.maxSequenceLength = 24
    request.embedsBlend = EmbedsBlend(embeds, share: 0.5)
    let error = #expect(throws: GenerationError.self) { try pipeline.settings(for: request) }
    #expect(error?.description.contains("--max-sequence-length 16") == true)
  }
}
