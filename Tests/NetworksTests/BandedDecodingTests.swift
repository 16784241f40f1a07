import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Machine
import ModelFiles
import Networks
import TestSupport
import Testing

/// The tensors of a decoder of any depth and width, under the original release's names.
private struct DecoderTensors {
  private(set) var tensors: [SafetensorsWriter.FloatTensor] = []

  private mutating func weight(_ name: String, _ shape: [Int]) {
    let scale = (3 / Float(shape.dropFirst().reduce(1, *))).squareRoot()
    let values = SeededWeights.values(name, count: shape.reduce(1, *)).map { $0 * scale }
    tensors.append(.init(name: "\(name).weight", shape: shape, values: values))
    vector("\(name).bias", shape[0], around: 0)
  }

  private mutating func vector(_ name: String, _ count: Int, around mean: Float) {
    let values = SeededWeights.values(name, count: count).map { mean + 0.2 * $0 }
    tensors.append(.init(name: name, shape: [count], values: values))
  }

  private mutating func norm(_ name: String, _ channels: Int) {
    vector("\(name).weight", channels, around: 1)
    vector("\(name).bias", channels, around: 0)
  }

  private mutating func block(_ name: String, from inputs: Int, to outputs: Int) {
    norm("\(name).norm1", inputs)
    weight("\(name).conv1", [outputs, inputs, 3, 3])
    norm("\(name).norm2", outputs)
    weight("\(name).conv2", [outputs, outputs, 3, 3])
    if inputs != outputs { weight("\(name).nin_shortcut", [outputs, inputs, 1, 1]) }
  }

  /// Channels are those of the levels, from the picture to the latents.
  init(channels: [Int], blocksPerLevel: Int, hasAttention: Bool) {
    var width = channels[channels.count - 1]
    weight("decoder.conv_in", [width, 4, 3, 3])
    block("decoder.mid.block_1", from: width, to: width)
    if hasAttention {
      norm("decoder.mid.attn_1.norm", width)
      for part in ["q", "k", "v", "proj_out"] {
        weight("decoder.mid.attn_1.\(part)", [width, width, 1, 1])
      }
    }
    block("decoder.mid.block_2", from: width, to: width)
    for level in channels.indices.reversed() {
      for index in 0..<blocksPerLevel {
        block("decoder.up.\(level).block.\(index)", from: width, to: channels[level])
        width = channels[level]
      }
      if level > 0 { weight("decoder.up.\(level).upsample.conv", [width, width, 3, 3]) }
    }
    norm("decoder.norm_out", width)
    weight("decoder.conv_out", [3, width, 3, 3])
  }
}

@Suite("Decoding in bands")
struct BandedDecodingTests {
  private func decoder(
    channels: [Int], blocksPerLevel: Int = 2, hasAttention: Bool = true
  ) throws -> AutoencoderDecoder {
    let folder = try TemporaryFolder()
    let tensors = DecoderTensors(
      channels: channels, blocksPerLevel: blocksPerLevel, hasAttention: hasAttention
    ).tensors
    let path = try folder.write(SafetensorsWriter.encode(tensors), to: "vae.safetensors")
    var hints = ArchitectureHints()
    hints.normGroups = 4
    return try AutoencoderDecoder(try PartSource(.autoencoder, path: path, hints: hints))
  }

  private func latents(height: Int, width: Int) -> Latents {
    Latents(
      SeededWeights.values("latents", count: 4 * height * width).map { 2 * $0 }, channels: 4,
      size: LatentSize(height: height, width: width))
  }

  private func pixels(
    _ decoder: any LatentCodec, _ latents: Latents, within bytes: Int? = nil, threads: Int
  ) throws -> [Float] {
    try decoder.decode(latents, within: bytes, on: CPUDevice(threadCount: threads)).planes.values
  }

  @Test(
    "every bound and thread count gives the same bits",
    arguments: [
      ([8, 16], 13, 5), ([4, 8, 8], 5, 9), ([8, 4, 12], 4, 7), ([4, 8, 16, 16], 3, 5),
      ([12, 4], 1, 1), ([8], 11, 6),
    ])
  func sameBits(channels: [Int], height: Int, width: Int) throws {
    let decoder = try decoder(channels: channels, hasAttention: channels.count != 3)
    let latents = latents(height: height, width: width)
    let expected = try pixels(decoder, latents, threads: 1)
    #expect(expected.allSatisfy { $0.isFinite })
    let device = CPUDevice(threadCount: 2)
    let roomy = try decoder.activationBytes(latents.size, within: nil, on: device)
    let least = try decoder.activationBytes(latents.size, within: 0, on: device)
    #expect(least <= roomy)
    for step in 0...10 {
      let bytes = least + (roomy - least) * step / 10
      let result = try pixels(decoder, latents, within: bytes, threads: step % 2 == 0 ? 1 : 3)
      #expect(result == expected, "\(bytes) bytes, of \(least)...\(roomy)")
    }
    #expect(try pixels(decoder, latents, within: 0, threads: 3) == expected)
  }

  /// The most bytes that decoding held.
  private func measured(
    _ decoder: any LatentCodec, _ latents: Latents, within bytes: Int?, on device: CPUDevice
  ) throws -> Int {
    let meter = AllocationMeter()
    _ = try meter.measure { () throws(ComputeError) in
      try decoder.decode(latents, within: bytes, on: device)
    }
    return meter.peakBytes
  }

  @Test("rehearsals hold, and are kept within the bound", arguments: [true, false])
  func rehearsals(hasAttention: Bool) throws {
    let decoder = try decoder(channels: [8, 16, 32], blocksPerLevel: 2, hasAttention: hasAttention)
    let latents = latents(height: 61, width: 83)
    func planned(_ bytes: Int?) throws -> Int {
      try decoder.activationBytes(latents.size, within: bytes, on: CPUDevice(threadCount: 2))
    }
    let (roomy, least) = (try planned(nil), try planned(0))
    #expect(Double(least) < 0.75 * Double(roomy))
    for bytes in [nil, roomy, (roomy + least) / 2, least + (roomy - least) / 8, least, 0] {
      let planned = try planned(bytes)
      if let bytes { #expect(planned <= max(bytes, least)) }
      let found = try measured(decoder, latents, within: bytes, on: CPUDevice(threadCount: 2))
      #expect(found <= planned, "\(String(describing: bytes))")
      // Kept buffers of products stand in for each other, which the rehearsal does not know.
      #expect(Double(found) >= 0.85 * Double(planned), "\(found) of \(planned)")
    }
  }

  @Test("rehearsals of tiny decoders hold")
  func tiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    let decoder = try TinyDecoder(fixture.source)
    let latents = latents(height: 13, width: 21)
    let device = CPUDevice(threadCount: 2)
    let planned = try decoder.activationBytes(latents.size, within: nil, on: device)
    let found = try measured(decoder, latents, within: nil, on: device)
    #expect(found <= planned)
    #expect(Double(found) >= 0.85 * Double(planned), "\(found) of \(planned)")
  }
}
