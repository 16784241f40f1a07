import Foundation
import Images
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// One request of a FLUX.1 pipeline fixture.
struct FluxRequest: Sendable, CustomTestStringConvertible {
  let model, name: String
  private let json: JSONValue

  var testDescription: String { "\(model)/\(name)" }
  /// The file of what the reference made.
  var goldenPath: String { "flux-pipelines/\(model)/golden/\(name).safetensors" }

  /// All requests of some models.
  static func all(_ models: [String]) throws -> [FluxRequest] {
    try models.flatMap { model in
      try #require(try Fixtures.json("flux-pipelines/\(model)/requests.json").arrayValue).map {
        FluxRequest(model: model, name: try #require($0["name"]?.stringValue), json: $0)
      }
    }
  }

  /// The request, with the latents to start from where there are given ones.
  func request(_ golden: Golden) throws -> GenerationRequest {
    var request = GenerationRequest(golden: json)
    // The reference rounds sizes down.
    let size = json["shapes"]?["image"]?.arrayValue?.compactMap(\.integerValue) ?? []
    (request.width, request.height) = (size.first, size.last)
    request.guidanceScale = json["true_cfg_scale"]?.doubleValue ?? 1
    if model != "schnell" {
      request.guidance = json["guidance_scale"]?.doubleValue
    }
    if json["given_latents"]?.boolValue == true {
      request.latents = Self.unpacked(
        try golden.floats("noise"), try golden.shape("latents_unpacked"))
    }
    return request
  }

  /// `[images, tokens, (channel, y, x)]` as `[images, channels, height, width]`.
  static func unpacked(_ packed: [Float], _ shape: [Int]) -> [Float] {
    let (channels, height, width) = (shape[1], shape[2], shape[3])
    return (0..<packed.count).map { index in
      let (x, y) = (index % width, index / width % height)
      let channel = index / (width * height) % channels
      let image = index / (width * height * channels)
      let token = (image * (height / 2) + y / 2) * (width / 2) + x / 2
      return packed[(token * channels + channel) * 4 + y % 2 * 2 + x % 2]
    }
  }
}

@Suite("FLUX.1 pipelines against diffusers")
struct FluxPipelineTests {
  @Test(
    "latents and pixels equal the reference's",
    arguments: try FluxRequest.all(["dev", "schnell", "odd", "quantizable", "real-heads"]))
  func goldens(_ row: FluxRequest) async throws {
    let folder = try SeededWeights.pipelineFolder(row.model, in: "flux-pipelines")
    let pipeline = try Pipeline(path: folder.path)
    let golden = try Golden(row.goldenPath)
    let result = try await pipeline.generate(try row.request(golden))
    #expect(result.latentShape == (try golden.shape("latents_unpacked")))
    #expect(
      relativeError(result.latents, try golden.floats("latents_unpacked")) < Tolerance.latents)
    for (index, image) in result.images.enumerated() {
      let file = Fixtures.folder.appendingPathComponent(
        "flux-pipelines/\(row.model)/golden/\(row.name)-\(index).png")
      try expectEqual(image, try RGBImage(pngData: [UInt8](Data(contentsOf: file))))
    }
  }
}

/// Checks that two pictures are the same but for rounding.
func expectEqual(_ image: RGBImage, _ reference: RGBImage) throws {
  #expect(image.width == reference.width && image.height == reference.height)
  let largest = zip(image.pixels, reference.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 255
  #expect(largest <= Tolerance.pixelDifference)
  #expect(peakSignalToNoiseRatio(image.pixels, reference.pixels) >= Tolerance.pixelSignalToNoise)
}
