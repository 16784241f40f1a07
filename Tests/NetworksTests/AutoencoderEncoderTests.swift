import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Foundation
import Machine
import ModelFiles
import Networks
import TestSupport
import Testing

@Suite("VAE encoders")
struct AutoencoderEncoderTests {
  private let device = CPUDevice(threadCount: 2)

  private func size(_ golden: Golden, _ name: String) throws -> LatentSize {
    let shape = try golden.shape(name)
    return LatentSize(height: shape[2], width: shape[3])
  }

  private func encoder(_ codec: any LatentCodec) throws -> any LatentEncoder {
    try #require(try codec.openEncoder())
  }

  @Test(
    "means and deviations equal diffusers' for any depth, width and group count, whatever the bound",
    arguments: ["two-levels", "four-levels", "no-attention", "single-level"])
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/\(name)")
    let decoder = try AutoencoderDecoder(fixture.source)
    let encoder = try encoder(decoder)
    #expect(encoder.downscaling == decoder.upscaling)
    let golden = try Golden("vae/\(name)/encoder-golden.safetensors")
    for run in fixture.runs {
      let size = try size(golden, "\(run).mean")
      let picture = try golden.floats("\(run).picture")
      let encoded = try encoder.encode(picture, size, within: nil, on: device)
      let mean = try golden.floats("\(run).mean")
      #expect(relativeError(encoded.mean.values, mean) < Tolerance.network)
      let deviation = try #require(encoded.deviation)
      #expect(relativeError(deviation, try golden.floats("\(run).deviation")) < Tolerance.network)
      let scaling = encoder.latentScaling
      let scaled = mean.map { ($0 - scaling.shift) * scaling.scale }
      #expect(relativeError(encoded.mode.values, scaled) < Tolerance.network)
      try expectSameBits(encoder, picture, size, encoded)
    }
  }

  @Test("the encoder of a tiny autoencoder equals diffusers', whatever the bound")
  func tiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny-both")
    let encoder = try encoder(TinyDecoder(fixture.source))
    #expect(encoder.downscaling == 8 && encoder.latentChannels == 16)
    for run in fixture.runs {
      let size = try size(fixture.golden, "\(run).latents")
      let picture = try fixture.golden.floats("\(run).picture")
      let encoded = try encoder.encode(picture, size, within: nil, on: device)
      let expected = try fixture.golden.floats("\(run).latents")
      #expect(relativeError(encoded.mode.values, expected) < Tolerance.network)
      #expect(encoded.deviation == nil)
      var noise = TorchNoise(seed: 1)
      let first = noise.normal(20)
      noise = TorchNoise(seed: 1)
      #expect(encoded.sample(&noise) == encoded.mode)
      #expect(noise.normal(20) == first, "nothing was drawn")
      try expectSameBits(encoder, picture, size, encoded)
    }
  }

  @Test(
    "real tiny encoders give their published latents",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)),
    arguments: ["taesdxl", "taef1"])
  func realTiny(name: String) throws {
    let folder = try #require(Fixtures.extraData).appendingPathComponent("vae-tiny")
    let source = try PartSource(
      .autoencoder, path: folder.appendingPathComponent("\(name)_encoder.safetensors").path)
    let encoder = try TinyEncoder(source)
    let golden = try Golden(path: folder.appendingPathComponent("golden_\(name).safetensors").path)
    // The reference encodes a picture, whose levels end at 0 and 1.
    let picture = try golden.floats("decoded_0_1").map { 2 * min(max($0, 0), 1) - 1 }
    let encoded = try encoder.encode(
      picture, size(golden, "reencoded"), within: 1 << 20, on: device)
    let error = relativeError(encoded.mode.values, try golden.floats("reencoded"))
    #expect(error < Tolerance.network, "\(error)")
  }

  @Test("files with a decoder alone have no encoder, those with a damaged one still decode")
  func missing() throws {
    #expect(try TinyDecoder(ComponentFixture(.autoencoder, "vae/tiny").source).openEncoder() == nil)
    let folder = try TemporaryFolder()
    let tensors = try SeededWeights.tensors(try Fixtures.json("vae/two-levels/weights.json"))
    var hints = ArchitectureHints()
    hints.normGroups = 8
    func decoder(_ name: String, _ keeps: (String) -> Bool) throws -> AutoencoderDecoder {
      let path = try folder.write(
        SafetensorsWriter.encode(tensors.filter { keeps($0.name) }), to: name)
      return try AutoencoderDecoder(try PartSource(.autoencoder, path: path, hints: hints))
    }
    let half = try decoder("half.safetensors") { !$0.hasPrefix("encoder.") }
    #expect(try half.openEncoder() == nil)
    let damaged = try decoder("damaged.safetensors") {
      $0 != "encoder.down_blocks.0.resnets.0.conv1.weight"
    }
    let error = #expect(throws: ModelFileError.self) { try damaged.openEncoder() }
    #expect(error?.fault.contains("encoder.down") == true, "\(error?.fault ?? "none")")
  }

  @Test("samples are drawn as the reference draws them")
  func samples() {
    let size = LatentSize(height: 4, width: 5)
    let mean = Latents((0..<20).map { Float($0) }, channels: 1, size: size)
    let encoded = EncodedPicture(
      mean: mean, deviation: Array(repeating: 2, count: 20),
      scaling: LatentScaling(scale: 0.5, shift: 1))
    var (first, second) = (TorchNoise(seed: 3), TorchNoise(seed: 3))
    let random = second.normal(20)
    let expected = (0..<20).map { (Float($0) + 2 * random[$0] - 1) * 0.5 }
    #expect(encoded.sample(&first).values == expected)
    #expect(first.normal(16) == second.normal(16), "one call for all values")
  }

  /// Checks that every bound and number of threads gives the same, and that rehearsals hold.
  private func expectSameBits(
    _ encoder: any LatentEncoder, _ picture: [Float], _ size: LatentSize, _ expected: EncodedPicture
  ) throws {
    let device = CPUDevice(threadCount: 2)
    let roomy = try encoder.activationBytes(size, within: nil, on: device)
    let least = try encoder.activationBytes(size, within: 0, on: device)
    #expect(least <= roomy)
    for step in 0...4 {
      let bytes = least + (roomy - least) * step / 4
      let planned = try encoder.activationBytes(size, within: bytes, on: device)
      #expect(planned <= bytes, "\(bytes) of \(least)...\(roomy)")
      let threads = CPUDevice(threadCount: step % 2 == 0 ? 2 : 1)
      let meter = AllocationMeter()
      let encoded = try meter.measure { () throws(ComputeError) in
        try encoder.encode(picture, size, within: bytes, on: threads)
      }
      #expect(encoded == expected, "\(bytes) of \(least)...\(roomy)")
      if step % 2 == 0 { #expect(meter.peakBytes <= planned, "\(meter.peakBytes) of \(planned)") }
    }
  }
}
