import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Foundation
import Machine
import ModelCatalog
import ModelFiles
import ModelSynthesis
import Networks

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
  private let decoder: any LatentCodec

  /// Opens a decoder.
  ///
  /// - Parameter path: its file or folder; nil makes one of the published models' sizes with
  ///   random weights (SDXL's: 49 million).
  /// - Throws: `ModelFileError` if the decoder cannot be run or no temporary file be written,
  ///   `ComputeError` if memory runs out.
  package init(path: String?) throws {
    guard let (family, preset) = FamilyCatalog.known.presets.first,
      let slot = preset.parts.last?.slot
    else { preconditionFailure("a family without presets") }
    func open(_ path: String) throws(ModelFileError) -> any LatentCodec {
      try openLatentCodec(PartSource(slot, of: family, path: path, in: .known))
    }
    guard let path else {
      let path = FileSystem.join(
        FileSystem.temporaryFolder, "auraflow-\(UUID().uuidString).safetensors")
      // An opened file stays readable without its name.
      defer { FileSystem.unlink(path) }
      try SyntheticModel(preset, of: family, in: .known, type: .f32, seed: 11)
        .write(slot, to: path, on: ThreadPool(threadCount: 1))
      decoder = try open(path)
      return
    }
    decoder = try open(path)
  }

  /// Decodes random latents a few times after a first time that does not count.
  ///
  /// - Parameters:
  ///   - size: width and height of the picture, rounded down to whole latent pixels.
  ///   - repetitions: runs of which the median counts.
  ///   - memory: bytes of activations to stay within; nil for the fastest way.
  ///   - device: where to compute.
  /// - Returns: the median time and the bytes of activations.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func run(
    size: Int, repetitions: Int, memory: Int?, on device: CPUDevice
  ) throws(ComputeError) -> DecoderResult {
    let side = max(1, size / decoder.upscaling)
    let latentSize = LatentSize(height: side, width: side)
    let latents = try normalLatents(channels: decoder.latentChannels, latentSize)
    let meter = AllocationMeter()
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      try meter.measure { () throws(ComputeError) in
        _ = try decoder.decode(latents, within: memory, on: device)
      }
    }
    let pictureSide = side * decoder.upscaling
    return DecoderResult(
      size: pictureSide, threads: device.threadCount, kernels: device.kernels.name,
      seconds: seconds,
      megapixelsPerSecond: Double(pictureSide * pictureSide) / seconds / 1e6, memory: memory,
      estimatedBytes: try decoder.activationBytes(latentSize, within: memory, on: device),
      activationBytes: meter.peakBytes)
  }
}
