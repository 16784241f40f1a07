import Checkpoints
import ModelFiles
import Networks
import Tensors
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

  private func latents(height: Int, width: Int) throws -> ImagePlanes {
    ImagePlanes(
      planes: try Matrix(
        SeededWeights.values("latents", count: 4 * height * width).map { 2 * $0 }, rows: 4,
        columns: height * width), height: height, width: width)
  }

  @Test(
    "every bound and thread count gives the same bits",
    arguments: [
      ([8, 16], 13, 5), ([4, 8, 8], 5, 9), ([8, 4, 12], 4, 7), ([4, 8, 16, 16], 3, 5),
      ([12, 4], 1, 1), ([8], 11, 6),
    ])
  func sameBits(channels: [Int], height: Int, width: Int) throws {
    let decoder = try decoder(channels: channels, hasAttention: channels.count != 3)
    let latents = try latents(height: height, width: width)
    let expected = try decoder(latents, on: ThreadPool(threadCount: 1)).planes.values
    #expect(expected.allSatisfy { $0.isFinite })
    let roomy = decoder.activationBytes(height: height, width: width, memory: nil)
    let least = decoder.activationBytes(height: height, width: width, memory: 0)
    #expect(least <= roomy)
    for step in 0...10 {
      let memory = least + (roomy - least) * step / 10
      let pool = ThreadPool(threadCount: step % 2 == 0 ? 1 : 3)
      let result = try decoder(latents, memory: memory, on: pool).planes.values
      #expect(result == expected, "\(memory) bytes, of \(least)...\(roomy)")
    }
    let smallest = try decoder(latents, memory: 0, on: ThreadPool(threadCount: 3)).planes.values
    #expect(smallest == expected)
  }

  @Test("estimates hold, and are kept within the bound", arguments: [true, false])
  func estimates(hasAttention: Bool) throws {
    let decoder = try decoder(channels: [8, 16, 32], blocksPerLevel: 2, hasAttention: hasAttention)
    let (height, width) = (61, 83)
    let latents = try latents(height: height, width: width)
    let roomy = decoder.activationBytes(height: height, width: width, memory: nil)
    let least = decoder.activationBytes(height: height, width: width, memory: 0)
    #expect(Double(least) < 0.75 * Double(roomy))
    for memory in [nil, roomy, (roomy + least) / 2, least + (roomy - least) / 8, least, 0] {
      let estimate = decoder.activationBytes(height: height, width: width, memory: memory)
      if let memory { #expect(estimate <= max(memory, least)) }
      let meter = AllocationMeter()
      _ = try meter.measure { () throws(ComputeError) in
        try decoder(latents, memory: memory, on: ThreadPool(threadCount: 2))
      }
      // The estimate has a mebibyte for threads' scratch memory, of which two need half.
      #expect(meter.peakBytes <= estimate, "\(String(describing: memory))")
      #expect(Double(meter.peakBytes) >= 0.9 * Double(estimate - 1 << 20))
    }
  }

  @Test("estimates of tiny decoders hold")
  func tiny() throws {
    let fixture = try ComponentFixture(.autoencoder, "vae/tiny")
    let decoder = try TinyDecoder(fixture.source)
    let latents = try latents(height: 13, width: 21)
    let meter = AllocationMeter()
    _ = try meter.measure { () throws(ComputeError) in
      try decoder(latents, on: ThreadPool(threadCount: 2))
    }
    let estimate = decoder.activationBytes(height: 13, width: 21, memory: nil)
    #expect(meter.peakBytes <= estimate)
    #expect(Double(meter.peakBytes) >= 0.9 * Double(estimate - 1 << 20))
  }
}
