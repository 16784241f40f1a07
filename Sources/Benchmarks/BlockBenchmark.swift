import Compute
import ComputeCPU
import Diffusion

/// What one step through a transformer's blocks took.
package struct BlockResult: Sendable, Encodable {
  /// Blocks of the file, of each stack: joint ones, then single ones.
  package let layers: [Int]
  /// Tokens of image and context.
  package let tokens: Int
  package let imageTokens: Int
  /// Registers and text.
  package let contextTokens: Int
  package let threads: Int
  package let kernels: String
  package let activations: String
  /// One step for one picture: patches to tokens, all blocks, tokens to velocities; median.
  package let seconds: Double
  /// The modulation of all blocks for a schedule of `steps`, which is made once for all of them.
  package let modulationSeconds: Double
  package let steps: Int
}

/// Measures one step of a transformer file, which need not have all blocks.
private struct BlockBenchmark<Network: Denoiser> {
  private let denoiser: Network
  /// Side of the latents.
  private let side: Int
  private let textTokens: Int

  /// Divides tokens up: a usual text is left out, the largest square of the others is the image,
  /// and what is left goes to the text.
  ///
  /// - Parameters:
  ///   - denoiser: the transformer.
  ///   - tokens: image and context together; at least one of each is taken. Where a usual text
  ///     would be more than half of them, one of its tokens is enough.
  init(_ denoiser: Network, tokens: Int) {
    self.denoiser = denoiser
    for stage in denoiser.scheduleStages + [denoiser.stepStage] { stage.weights.keepAll() }
    let geometry = denoiser.geometry
    let (patch, least) = (
      geometry.sideMultiple,
      denoiser.rowCounts(LatentSize(height: 0, width: 0), textTokens: 0).context
    )
    let usual = denoiser.usualWork.textTokens
    let text = tokens - least > 2 * usual ? usual : 1
    let patches = Int(Double(max(1, tokens - least - text)).squareRoot())
    side = min(patches * patch, geometry.largestSide)
    let image = denoiser.rowCounts(LatentSize(height: side, width: side), textTokens: 0).image
    textTokens = max(1, tokens - image - least)
  }

  /// Runs the step and the modulation a few times after a first time that does not count.
  ///
  /// - Parameters:
  ///   - repetitions: runs of which the median counts.
  ///   - steps: length of the schedule.
  ///   - device: where to compute.
  /// - Returns: median times.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func run(
    repetitions: Int, steps: Int, on device: CPUDevice
  ) throws(ComputeError) -> BlockResult {
    let times = (0..<steps).map { 1 - Float($0) / Float(steps) }
    let size = LatentSize(height: side, width: side)
    let prompt = try denoiser.blankConditioning(textTokens: textTokens, on: device)
    var prepared = try denoiser.prepare(
      [prompt], times: times, guidance: 3.5, size: size, on: device)
    let modulationSeconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      prepared = try denoiser.prepare(
        [prompt], times: times, guidance: 3.5, size: size, on: device)
    }
    let latents = try normalLatents(channels: denoiser.geometry.channels, size)
    let session = try denoiser.session(prepared, prompts: [0], on: device)
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      _ = try denoiser.predict([latents], session, time: 0, on: device)
    }
    let rows = denoiser.rowCounts(size, textTokens: textTokens)
    return BlockResult(
      layers: denoiser.layerCounts, tokens: rows.image + rows.context, imageTokens: rows.image,
      contextTokens: rows.context, threads: device.threadCount, kernels: device.kernels.name,
      activations: "\(device.activations)", seconds: seconds,
      modulationSeconds: modulationSeconds, steps: steps)
  }
}

extension Denoiser {
  /// Measures one step and the modulation a few times after a first time that does not count.
  ///
  /// - Parameters:
  ///   - tokens: image and context together; the largest square beside a usual text is the image.
  ///   - repetitions: runs of which the median counts.
  ///   - steps: length of the schedule.
  ///   - device: where to compute.
  /// - Returns: median times.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func measureBlocks(
    tokens: Int, repetitions: Int, steps: Int, on device: CPUDevice
  ) throws(ComputeError) -> BlockResult {
    try BlockBenchmark(self, tokens: tokens)
      .run(repetitions: repetitions, steps: steps, on: device)
  }
}
