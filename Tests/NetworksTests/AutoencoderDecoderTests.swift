import Checkpoints
import ComputeCPU
import Diffusion
import Foundation
import ModelFiles
import Networks
import TestSupport
import Testing

@Suite("VAE decoders")
struct AutoencoderDecoderTests {
  private let device = CPUDevice(threadCount: 2)

  /// Latents of a golden file, times a factor.
  private func latents(_ golden: Golden, _ name: String, times factor: Float = 1) throws -> Latents
  {
    let shape = try golden.shape(name)
    return Latents(
      try golden.floats(name).map { $0 * factor }, channels: shape[1],
      size: LatentSize(height: shape[2], width: shape[3]))
  }

  private func pixels(_ codec: any LatentCodec, _ latents: Latents) throws -> [Float] {
    try codec.decode(latents, within: nil, on: device).planes.values
  }

  @Test(
    "pixels equal diffusers' for any depth, width and group count",
    arguments: ["two-levels", "four-levels", "no-attention", "single-level"])
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/\(name)")
    let decoder = try AutoencoderDecoder(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for run in fixture.runs {
      // Goldens are in the autoencoder's own scale.
      let decoded = try pixels(
        decoder,
        latents(fixture.golden, "\(run).latents", times: decoder.latentScaling.scale))
      let expected = try fixture.golden.floats("\(run).decoded")
      #expect(relativeError(decoded, expected) < Tolerance.network)
    }
  }

  @Test("the tiny decoder equals diffusers' under the original names")
  func tiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    #expect(fixture.source.network.id == TinyDecoder.description.id)
    let decoder = try TinyDecoder(fixture.source)
    #expect(decoder.upscaling == 8)
    for run in fixture.runs {
      let decoded = try pixels(decoder, latents(fixture.golden, "\(run).latents"))
      let expected = try fixture.golden.floats("\(run).decoded").map { $0 * 2 - 1 }
      #expect(relativeError(decoded, expected) < Tolerance.network)
    }
  }

  @Test("the configuration of a tiny decoder says how many channels its latents have")
  func configurationOfTiny() throws {
    let source = try ComponentFixture(.autoencoder, "vae/tiny").source
    let members = try TinyDecoder.description.open(source).configuration(
      ConfigurationContext(type: .f32, pictureSide: nil, isSynthetic: false))
    let channels = try TinyDecoder(source).latentChannels
    #expect(members.first { $0.key == "latent_channels" }?.value.integerValue == channels)
  }

  @Test("a tiny decoder divides by a scaling factor, from its configuration or a flag")
  func scaledTiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    let name = "\(try #require(fixture.runs.first)).latents"
    let (latents, doubled) = (
      try latents(fixture.golden, name), try latents(fixture.golden, name, times: 2)
    )
    let expected = try pixels(TinyDecoder(fixture.source), doubled)
    let folder = try TemporaryFolder()
    let tensors = try SeededWeights.tensors(try Fixtures.json("vae/tiny/weights.json"))
    let path = try folder.write(SafetensorsWriter.encode(tensors), to: "tiny.safetensors")
    var hints = ArchitectureHints()
    hints.scalingFactor = 0.5
    let flagged = try TinyDecoder(try PartSource(.autoencoder, path: path, hints: hints))
    #expect(try pixels(flagged, latents) == expected)
    try folder.write(
      Array(#"{"_class_name": "AutoencoderTiny", "scaling_factor": 0.5}"#.utf8), to: "config.json")
    let configured = try TinyDecoder(try PartSource(.autoencoder, path: path))
    #expect(try pixels(configured, latents) == expected)
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
    let decoded = try pixels(TinyDecoder(source), latents(golden, "z"))
    let expected = try golden.floats("decoded_0_1").map { $0 * 2 - 1 }
    #expect(relativeError(decoded, expected) < Tolerance.network)
  }
}
