import Foundation
import Images
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// A pipeline fixture's `request.json`.
struct GoldenRequest {
  let request: GenerationRequest

  init(_ name: String) throws {
    let json = try Fixtures.json("pipelines/\(name)/request.json")
    var request = GenerationRequest(golden: json)
    request.width = json["width"]?.integerValue
    request.height = json["height"]?.integerValue
    request.guidanceScale = json["guidance_scale"]?.doubleValue
    self.request = request
  }
}

extension GenerationRequest {
  /// What requests of fixtures have in common, whatever the family.
  init(golden json: JSONValue) {
    self.init(prompt: json["prompt"]?.stringValue ?? "")
    negativePrompt = json["negative_prompt"]?.stringValue ?? ""
    maxSequenceLength = json["max_sequence_length"]?.integerValue
    sigmas = json["sigmas"]?.arrayValue?.compactMap(\.doubleValue)
    steps = sigmas == nil ? json["steps"]?.integerValue : nil
    let seeds = (json["seeds"]?.arrayValue ?? []).compactMap(\.integerValue)
    seed = UInt64(seeds.first ?? 0)
    imageCount = seeds.count
  }
}

@Suite("Whole pipelines against diffusers")
struct PipelineGoldenTests {
  static let names = [
    "square", "wide-negative", "tall-truncated", "unicode-two-images", "custom-sigmas", "one-step",
    "legacy-tokenizer", "quantizable",
  ]

  @Test("latents and pixels equal the reference's", arguments: names)
  func goldens(name: String) async throws {
    let folder = try SeededWeights.pipelineFolder(name)
    let pipeline = try Pipeline(path: folder.path)
    let result = try await pipeline.generate(try GoldenRequest(name).request)
    let golden = try Golden("pipelines/\(name)/golden.safetensors")
    #expect(result.latentShape == (try golden.shape("latents")))
    #expect(relativeError(result.latents, try golden.floats("latents")) < Tolerance.latents)
    for (index, image) in result.images.enumerated() {
      let file = Fixtures.folder.appendingPathComponent("pipelines/\(name)/image-\(index).png")
      try expectEqual(image, try RGBImage(pngData: [UInt8](Data(contentsOf: file))))
    }
  }

  @Test("the shipped checkpoint draws what diffusers draws", arguments: [0, 1, 2])
  func demoModel(index: Int) async throws {
    let json = try #require(try Fixtures.json("demo-model/requests.json").arrayValue)
    let entry = json[index]
    var request = GenerationRequest(prompt: try #require(entry["prompt"]?.stringValue))
    request.seed = UInt64(try #require(entry["seeds"]?.arrayValue?.first?.integerValue))
    let pipeline = try Pipeline(path: try ShippedModel.path())
    let result = try await pipeline.generate(request)
    let golden = try Golden("demo-model/golden.safetensors")
    #expect(
      relativeError(result.latents, try golden.floats("latents.\(index)")) < Tolerance.latents)
    let file = Fixtures.folder.appendingPathComponent("demo-model/image-\(index).png")
    try expectEqual(result.images[0], try RGBImage(pngData: [UInt8](Data(contentsOf: file))))
  }
}
