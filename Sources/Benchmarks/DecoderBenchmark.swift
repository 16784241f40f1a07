import Checkpoints
import Foundation
import ModelFiles
import Networks
import Tensors

/// What decoding one picture took.
package struct DecoderResult: Sendable, Encodable {
  /// Width and height of the picture.
  package let size: Int
  package let threads: Int
  package let kernels: String
  /// Median of the runs.
  package let seconds: Double
  /// Picture pixels, in millions, over time.
  package let megapixelsPerSecond: Double
  /// The bound on activations, if there was one.
  package let memory: Int?
  /// Most bytes of activations, as estimated before.
  package let estimatedBytes: Int
  /// Most bytes of activations that were held.
  package let activationBytes: Int
}

/// Measures an image decoder.
package struct DecoderBenchmark: Sendable {
  private let decoder: any LatentDecoder

  /// Opens a decoder.
  ///
  /// - Parameter path: its file or folder; nil makes one of the published models' sizes with
  ///   random weights.
  /// - Throws: `ModelFileError` if the decoder cannot be run or no temporary file be written.
  package init(path: String?) throws(ModelFileError) {
    guard let path else {
      let path = FileManager.default.temporaryDirectory
        .appendingPathComponent("auraflow-\(UUID().uuidString).safetensors").path
      try AtomicFile.write(
        SafetensorsWriter.encode(RandomDecoder.tensors()), to: path, overwrite: false)
      // An opened file stays readable without its name.
      defer { unlink(path) }
      decoder = try AutoencoderDecoder(PartSource(.autoencoder, path: path))
      return
    }
    let source = try PartSource(.autoencoder, path: path)
    decoder =
      TinyDecoder.describes(source) ? try TinyDecoder(source) : try AutoencoderDecoder(source)
  }

  /// Decodes random latents a few times after a first time that does not count.
  ///
  /// - Parameters:
  ///   - size: width and height of the picture, rounded down to whole latent pixels.
  ///   - repetitions: runs of which the median counts.
  ///   - memory: bytes of activations to stay within; nil for the fastest way.
  ///   - pool: threads to compute on.
  /// - Returns: the median time and the bytes of activations.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func run(
    size: Int, repetitions: Int, memory: Int?, on pool: ThreadPool
  ) throws(ComputeError) -> DecoderResult {
    let side = max(1, size / decoder.upscaling)
    let latents = try ImagePlanes(channels: decoder.latentChannels, height: side, width: side)
    fillNormal(latents.planes)
    let meter = AllocationMeter()
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      try meter.measure { () throws(ComputeError) in
        _ = try decoder(latents, memory: memory, on: pool)
      }
    }
    let pictureSide = side * decoder.upscaling
    return DecoderResult(
      size: pictureSide, threads: pool.threadCount, kernels: pool.kernels.name, seconds: seconds,
      megapixelsPerSecond: Double(pictureSide * pictureSide) / seconds / 1e6, memory: memory,
      estimatedBytes: decoder.activationBytes(height: side, width: side, memory: memory),
      activationBytes: meter.peakBytes)
  }
}

/// Random weights of a decoder as large as the published models' (SDXL's: 49 million).
enum RandomDecoder {
  private static let latentChannels = 4
  /// Channels of the levels, from the picture to the latents.
  private static let channels = [128, 256, 512, 512]
  private static let blocksPerLevel = 3

  /// All tensors of the decoder under the original release's names.
  static func tensors() -> [SafetensorsWriter.FloatTensor] {
    var tensors: [SafetensorsWriter.FloatTensor] = []
    var state: UInt64 = 11
    // Uniform with a variance of 1 / inputs, so that activations neither vanish nor grow.
    func weight(_ name: String, _ shape: [Int]) {
      let range = (3 / Float(shape.dropFirst().reduce(1, *))).squareRoot()
      let values = (0..<shape.reduce(1, *)).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (Float(state >> 40) * 0x1p-23 - 1) * range
      }
      tensors.append(.init(name: "\(name).weight", shape: shape, values: values))
      vector("\(name).bias", count: shape[0], 0)
    }
    func vector(_ name: String, count: Int, _ value: Float) {
      tensors.append(
        .init(name: name, shape: [count], values: Array(repeating: value, count: count)))
    }
    func norm(_ name: String, _ count: Int) {
      vector("\(name).weight", count: count, 1)
      vector("\(name).bias", count: count, 0)
    }
    func block(_ name: String, from inputs: Int, to outputs: Int) {
      norm("\(name).norm1", inputs)
      weight("\(name).conv1", [outputs, inputs, 3, 3])
      norm("\(name).norm2", outputs)
      weight("\(name).conv2", [outputs, outputs, 3, 3])
      if inputs != outputs { weight("\(name).nin_shortcut", [outputs, inputs, 1, 1]) }
    }
    var width = channels[channels.count - 1]
    weight("post_quant_conv", [latentChannels, latentChannels, 1, 1])
    weight("decoder.conv_in", [width, latentChannels, 3, 3])
    block("decoder.mid.block_1", from: width, to: width)
    norm("decoder.mid.attn_1.norm", width)
    for part in ["q", "k", "v", "proj_out"] {
      weight("decoder.mid.attn_1.\(part)", [width, width, 1, 1])
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
    return tensors
  }
}
