import AuraFlowFamily
import Checkpoints
import Foundation
import ModelCatalog
import ModelFiles
import ModelSynthesis
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
  ///   random weights (SDXL's: 49 million).
  /// - Throws: `ModelFileError` if the decoder cannot be run or no temporary file be written,
  ///   `ComputeError` if memory runs out.
  package init(path: String?) throws {
    guard let path else {
      let path = FileSystem.join(
        FileSystem.temporaryFolder, "auraflow-\(UUID().uuidString).safetensors")
      // An opened file stays readable without its name.
      defer { FileSystem.unlink(path) }
      try SyntheticModel(
        AuraFlow.family.presets[0], of: AuraFlow.family, in: .known, type: .f32, seed: 11
      ).write(AuraFlow.autoencoder, to: path, on: ThreadPool(threadCount: 1))
      decoder = try AutoencoderDecoder(Self.source(path))
      return
    }
    let source = try Self.source(path)
    decoder =
      TinyDecoder.describes(source) ? try TinyDecoder(source) : try AutoencoderDecoder(source)
  }

  private static func source(_ path: String) throws(ModelFileError) -> PartSource {
    try PartSource(AuraFlow.autoencoder, of: AuraFlow.family, path: path, in: .known)
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
