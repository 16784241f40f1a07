import Foundation
import Images
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// One request that starts from a picture.
struct PictureStartRequest: Sendable, CustomTestStringConvertible {
  let name: String
  let json: JSONValue

  var testDescription: String { name }

  static func all() throws -> [PictureStartRequest] {
    try #require(try Fixtures.json("picture-starts/requests.json").arrayValue).map {
      PictureStartRequest(name: try #require($0["name"]?.stringValue), json: $0)
    }
  }

  static func picture(_ name: String) throws -> RGBImage {
    let file = Fixtures.folder.appendingPathComponent("picture-starts/\(name)")
    return try PNGPicture([UInt8](Data(contentsOf: file))).image
  }

  /// The model's folder.
  func folder() throws -> TemporaryFolder {
    let model = try #require(json["model"]?.stringValue).split(separator: "/").map(String.init)
    let folder = try SeededWeights.pipelineFolder(model[1], in: model[0])
    if json["tiny"]?.boolValue == true {
      for file in try FileManager.default.contentsOfDirectory(atPath: folder.path("vae")) {
        try FileManager.default.removeItem(atPath: folder.path("vae/\(file)"))
      }
      try FileManager.default.copyItem(
        atPath: Fixtures.path("vae/tiny-both/config.json"), toPath: folder.path("vae/config.json"))
      try SeededWeights.write(
        "vae/tiny-both/weights.json",
        to: folder.path("vae/diffusion_pytorch_model.safetensors"))
    }
    return folder
  }

  func request() throws -> GenerationRequest {
    var request = GenerationRequest(golden: json)
    (request.width, request.height) = (json["width"]?.integerValue, json["height"]?.integerValue)
    let model = json["model"]?.stringValue ?? ""
    let isFlux = model.hasPrefix("flux")
    request.guidanceScale = json[isFlux ? "true_cfg_scale" : "guidance_scale"]?.doubleValue
    if isFlux, !model.hasSuffix("schnell") {
      request.guidance = json["guidance_scale"]?.doubleValue
    }
    var start = StartPicture(try Self.picture(json["picture"]?.stringValue ?? ""))
    start.strength = try #require(json["strength"]?.doubleValue)
    start.mask = try json["mask"]?.stringValue.map { try Self.picture($0) }
    request.picture = start
    return request
  }
}

@Suite("Pictures to start from")
struct PictureStartTests {
  @Test("latents and pixels equal the reference's", arguments: try PictureStartRequest.all())
  func goldens(_ row: PictureStartRequest) async throws {
    let folder = try row.folder()
    let pipeline = try Pipeline(path: folder.path)
    let result = try await pipeline.generate(try row.request())
    let golden = try Golden("picture-starts/\(row.name).safetensors")
    #expect(result.latentShape == (try golden.shape("latents")))
    let error = relativeError(result.latents, try golden.floats("latents"))
    #expect(error < Tolerance.latents, "\(error)")
    let file = Fixtures.folder.appendingPathComponent("picture-starts/\(row.name).png")
    try expectEqual(result.images[0], try RGBImage(pngData: [UInt8](Data(contentsOf: file))))
  }

  private static func row(_ name: String) throws -> PictureStartRequest {
    try #require(try PictureStartRequest.all().first { $0.name == name })
  }

  @Test("neither memory, threads nor company change the result")
  func sameBits() async throws {
    let row = try Self.row("dev-mask")
    let folder = try row.folder()
    var request = try row.request()
    let alone = try await Pipeline(path: folder.path, threadCount: 1).generate(request)
    let pipeline = try Pipeline(path: folder.path, threadCount: 3)
    #expect(try await pipeline.generate(request).latents == alone.latents)
    let least = pipeline.leastMemory(for: try pipeline.settings(for: request))
    let tight = try Pipeline(ModelPaths(model: folder.path), memory: .bytes(least + (4 << 20)))
    let result = try await tight.generate(request)
    #expect(result.images == alone.images && result.latents == alone.latents)
    request.imageCount = 2
    request.seed &-= 1
    let two = try await pipeline.generate(request)
    #expect(Array(two.latents.suffix(alone.latents.count)) == alone.latents)
    #expect(two.images[1] == alone.images[0])
  }

  @Test("unmasked pixels are the picture's own, with a soft seam on the repainted side")
  func keptPixels() async throws {
    let row = try Self.row("dev-mask")
    let folder = try row.folder()
    let pipeline = try Pipeline(path: folder.path)
    var request = try row.request()
    let whole = try await pipeline.generate(request).images[0]
    request.picture?.keepsUnmasked = true
    request.picture?.maskBlur = 3
    let kept = try await pipeline.generate(request).images[0]
    let start = try #require(request.picture)
    let own = start.image.resized(width: kept.width, height: kept.height)
    let mask = try #require(start.mask).resized(width: kept.width, height: kept.height).luminance
    var counts = (own: 0, seam: 0, new: 0)
    for pixel in mask.indices {
      let place = 3 * pixel..<3 * pixel + 3
      guard mask[pixel] >= 128 else {
        #expect(kept.pixels[place] == own.pixels[place])
        counts.own += 1
        continue
      }
      let (x, y) = (pixel % kept.width, pixel / kept.width)
      let distances = mask.indices.lazy.filter { mask[$0] < 128 }.map { other in
        let (across, along) = (other % kept.width - x, other / kept.width - y)
        return Float(across * across + along * along).squareRoot()
      }
      let weight = min(1, (distances.min() ?? 1000) / 4)
      if weight == 1 { counts.new += 1 } else { counts.seam += 1 }
      for index in place {
        let mean = Float(own.pixels[index]) * (1 - weight) + Float(whole.pixels[index]) * weight
        #expect(abs(Float(kept.pixels[index]) - mean) <= 0.51)
      }
    }
    #expect(counts.own > 100 && counts.seam > 50 && counts.new > 50, "\(counts)")
  }

  @Test("sides that are not given follow the picture")
  func sides() throws {
    let folder = try SeededWeights.pipelineFolder("dev", in: "flux-pipelines")
    let pipeline = try Pipeline(path: folder.path)
    func size(_ width: Int, _ height: Int, _ change: (inout GenerationRequest) -> Void = { _ in })
      throws -> [Int]
    {
      var request = GenerationRequest(prompt: "")
      let pixels = [UInt8](repeating: 0, count: 3 * width * height)
      request.picture = StartPicture(RGBImage(width: width, height: height, pixels: pixels))
      change(&request)
      let settings = try pipeline.settings(for: request)
      return [settings.width, settings.height]
    }
    #expect(try size(96, 64) == [96, 64])
    #expect(try size(100, 50) == [96, 48])
    #expect(try size(5, 900) == [16, 896])
    #expect(try size(4000, 1000) == [2048, 512])
    #expect(try size(100, 50) { $0.width = 64 } == [64, 32])
    #expect(try size(100, 50) { $0.height = 64 } == [128, 64])
    #expect(try size(100, 50) { ($0.width, $0.height) = (32, 48) } == [32, 48])
  }

  @Test("what makes no sense is refused before any work")
  func refusals() throws {
    let folder = try SeededWeights.pipelineFolder("dev", in: "flux-pipelines")
    let pipeline = try Pipeline(path: folder.path)
    func expectRefused(_ part: String, _ change: (inout GenerationRequest) -> Void) {
      var request = GenerationRequest(prompt: "")
      request.picture = StartPicture(RGBImage(width: 1, height: 1, pixels: [0, 0, 0]))
      change(&request)
      let error = #expect(throws: GenerationError.self) { try pipeline.settings(for: request) }
      let message = error?.description ?? ""
      #expect(message.contains(part), "\(message)")
    }
    expectRefused("strength 0.0") { $0.picture?.strength = 0 }
    expectRefused("strength 1.5") { $0.picture?.strength = 1.5 }
    expectRefused("strength nan") { $0.picture?.strength = .nan }
    expectRefused("mask") { $0.picture?.keepsUnmasked = true }
    expectRefused("mask blur -1") { $0.picture?.maskBlur = -1 }
    expectRefused("contradict") { $0.latents = [] }
  }

  @Test("the last share of the steps is made, rounded up to whole ones")
  func steps() throws {
    let folder = try SeededWeights.pipelineFolder("dev", in: "flux-pipelines")
    let pipeline = try Pipeline(path: folder.path)
    var request = GenerationRequest(prompt: "")
    request.picture = StartPicture(RGBImage(width: 1, height: 1, pixels: [0, 0, 0]))
    request.steps = 10
    for (strength, steps) in [(0.55, 6), (0.5, 5), (0.6, 6), (1, 10), (0.001, 1), (0.95, 10)] {
      request.picture?.strength = strength
      let settings = try pipeline.settings(for: request)
      #expect(settings.steps == steps && settings.sigmas.count == steps + 1, "\(strength)")
      #expect(settings.strength == strength)
    }
  }

  @Test("encoding and decoding by themselves give what a generation uses")
  func coding() async throws {
    let folder = try SeededWeights.pipelineFolder("dev", in: "flux-pipelines")
    let pipeline = try Pipeline(path: folder.path)
    let picture = try PictureStartRequest.picture("picture.png")
    let latents = try await pipeline.encode(picture, width: 64, height: 48)
    #expect(latents.shape == [1, 16, 6, 8])
    let again = try await pipeline.encode(picture.resized(width: 64, height: 48))
    #expect(again == latents)
    let drawn = try await pipeline.encode(picture, width: 64, height: 48, seed: 1)
    #expect(drawn != latents)
    let decoded = try await pipeline.decode(latents.values, height: 6, width: 8)
    #expect(decoded.width == 64 && decoded.height == 48)
    await #expect(throws: GenerationError.self) {
      try await pipeline.decode([1, 2, 3], height: 6, width: 8)
    }
  }
}
