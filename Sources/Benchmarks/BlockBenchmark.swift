import AuraFlowFamily
import Checkpoints
import ModelFiles
import Tensors

/// What one step through a transformer's blocks took.
package struct BlockResult: Sendable, Encodable {
  /// Joint blocks of the file.
  package let doubleLayers: Int
  /// Single blocks of the file.
  package let singleLayers: Int
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
package struct BlockBenchmark: Sendable {
  private let transformer: AuraFlowTransformer
  /// Tokens per side of the image.
  private let side: Int
  private let textTokens: Int

  /// Opens a transformer and divides tokens up: the largest square is the image, the rest context.
  ///
  /// - Parameters:
  ///   - source: the transformer.
  ///   - tokens: image, registers and text together; at least one of each is taken.
  /// - Throws: `ModelFileError` if the transformer cannot be run.
  package init(_ source: PartSource, tokens: Int) throws(ModelFileError) {
    transformer = try AuraFlowTransformer(source)
    transformer.stepWeights.keepAll()
    transformer.scheduleWeights.keepAll()
    let sizes = transformer.configuration
    let side = Int(Double(max(1, tokens - sizes.registerCount - 1)).squareRoot())
    self.side = min(side, sizes.gridSide)
    textTokens = max(1, tokens - self.side * self.side - sizes.registerCount)
  }

  /// Runs the step and the modulation a few times after a first time that does not count.
  ///
  /// - Parameters:
  ///   - repetitions: runs of which the median counts.
  ///   - steps: length of the schedule.
  ///   - pool: threads to compute on.
  /// - Returns: median times.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func run(
    repetitions: Int, steps: Int, on pool: ThreadPool
  ) throws(ComputeError) -> BlockResult {
    let sizes = transformer.configuration
    let times = (0..<steps).map { 1 - Float($0) / Float(steps) }
    var modulation = try transformer.modulation(times: times, on: pool)
    let modulationSeconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      modulation = try transformer.modulation(times: times, on: pool)
    }
    let text = try Matrix(rows: textTokens, columns: sizes.textWidth)
    fillNormal(text)
    let latentSide = side * sizes.patchSize
    let latents = try Matrix(rows: sizes.latentChannels, columns: latentSide * latentSide)
    fillNormal(latents)
    let context = try transformer.context(text: text, padding: 0, on: pool)
    let values = (0..<latents.rows).flatMap { row in
      Array(UnsafeBufferPointer(start: latents.row(row), count: latents.columns))
    }
    let session = try transformer.session(
      [context], height: latentSide, width: latentSide, modulation: modulation)
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      _ = try transformer.velocities([values], session, step: 0, on: pool)
    }
    let contextTokens = sizes.registerCount + textTokens
    return BlockResult(
      doubleLayers: sizes.doubleLayerCount, singleLayers: sizes.singleLayerCount,
      tokens: side * side + contextTokens, imageTokens: side * side, contextTokens: contextTokens,
      threads: pool.threadCount, kernels: pool.kernels.name,
      activations: "\(pool.activations)", seconds: seconds, modulationSeconds: modulationSeconds,
      steps: steps)
  }
}
