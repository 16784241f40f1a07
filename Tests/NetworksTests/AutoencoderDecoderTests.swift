import Checkpoints
import Foundation
import ModelFiles
import Networks
import Tensors
import TestSupport
import Testing

@Suite("VAE decoders")
struct AutoencoderDecoderTests {
  private let pool = ThreadPool(threadCount: 2)

  private func image(_ golden: Golden, _ name: String) throws -> ImagePlanes {
    let shape = try golden.shape(name)
    return ImagePlanes(
      planes: try Matrix(
        try golden.floats(name), rows: shape[1], columns: shape[2] * shape[3]),
      height: shape[2], width: shape[3])
  }

  @Test(
    "pixels equal diffusers' for any depth, width and group count",
    arguments: ["two-levels", "four-levels", "no-attention", "single-level"])
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/\(name)")
    let decoder = try AutoencoderDecoder(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for run in fixture.runs {
      let decoded = try decoder.decode(try image(fixture.golden, "\(run).latents"), on: pool)
      let expected = try fixture.golden.floats("\(run).decoded")
      #expect(relativeError(decoded.planes.values, expected) < networkTolerance)
    }
  }

  @Test("the tiny decoder equals diffusers' under the original names")
  func tiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    #expect(TinyDecoder.describes(fixture.source))
    let decoder = try TinyDecoder(fixture.source)
    #expect(decoder.upscaling == 8)
    for run in fixture.runs {
      let decoded = try decoder(try image(fixture.golden, "\(run).latents"), on: pool)
      let expected = try fixture.golden.floats("\(run).decoded").map { $0 * 2 - 1 }
      #expect(relativeError(decoded.planes.values, expected) < networkTolerance)
    }
  }

  @Test("a tiny decoder divides by a scaling factor, from its configuration or a flag")
  func scaledTiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    let latents = try image(fixture.golden, "\(try #require(fixture.runs.first)).latents")
    let halved = ImagePlanes(
      planes: try Matrix(
        latents.planes.values.map { $0 / 0.5 }, rows: latents.channels,
        columns: latents.planes.columns), height: latents.height, width: latents.width)
    let expected = try TinyDecoder(fixture.source)(halved, on: pool).planes.values
    let folder = try TemporaryFolder()
    let tensors = try SeededWeights.tensors(try Fixtures.json("vae/tiny/weights.json"))
    let path = try folder.write(SafetensorsWriter.encode(tensors), to: "tiny.safetensors")
    var hints = ArchitectureHints()
    hints.scalingFactor = 0.5
    let flagged = try TinyDecoder(try PartSource(.autoencoder, path: path, hints: hints))
    #expect(try flagged(latents, on: pool).planes.values == expected)
    try folder.write(
      Array(#"{"_class_name": "AutoencoderTiny", "scaling_factor": 0.5}"#.utf8), to: "config.json")
    let configured = try TinyDecoder(try PartSource(.autoencoder, path: path))
    #expect(try configured(latents, on: pool).planes.values == expected)
  }

  @Test("a number of normalization groups cannot apply to a tiny decoder")
  func groupsOfTiny() throws {
    let folder = try TemporaryFolder()
    let tensors = try SeededWeights.tensors(try Fixtures.json("vae/tiny/weights.json"))
    let path = try folder.write(SafetensorsWriter.encode(tensors), to: "tiny.safetensors")
    var hints = ArchitectureHints()
    hints.normGroups = 8
    let error = #expect(throws: ModelFileError.self) {
      _ = try TinyDecoder(try PartSource(.autoencoder, path: path, hints: hints))
    }
    #expect(error?.kind == .contradicted && error?.fault.contains("--vae-norm-groups") == true)
  }

  @Test("a tiny decoder without one of its layers is refused", arguments: ["7.", "9.", "12."])
  func incompleteTiny(prefix: String) throws {
    let folder = try TemporaryFolder()
    let tensors = try SeededWeights.tensors(try Fixtures.json("vae/tiny/weights.json"))
    let kept = tensors.filter { !$0.name.hasPrefix(prefix) }
    #expect(kept.count < tensors.count)
    let path = try folder.write(SafetensorsWriter.encode(kept), to: "tiny.safetensors")
    let error = #expect(throws: ModelFileError.self) {
      _ = try TinyDecoder(try PartSource(.autoencoder, path: path))
    }
    #expect(error?.fault.contains("is missing") == true)
  }

  @Test(
    "real tiny decoders give their published pixels",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)),
    arguments: ["taesdxl", "taef1"])
  func realTiny(name: String) throws {
    let folder = try #require(Fixtures.extraData).appendingPathComponent("vae-tiny")
    let source = try PartSource(
      .autoencoder, path: folder.appendingPathComponent("\(name)_decoder.safetensors").path)
    let golden = try Golden(path: folder.appendingPathComponent("golden_\(name).safetensors").path)
    let decoded = try TinyDecoder(source)(try image(golden, "z"), on: pool)
    let expected = try golden.floats("decoded_0_1").map { $0 * 2 - 1 }
    #expect(relativeError(decoded.planes.values, expected) < networkTolerance)
  }
}
