import AuraFlowFamily
import Checkpoints
import ModelFiles
import Tensors

/// What one step with guidance took, by kind of work.
package struct StepResult: Sendable, Encodable {
  package let width: Int
  package let height: Int
  /// Tokens of both branches together.
  package let tokens: Int
  package let threads: Int
  package let kernels: String
  package let seconds: Double
  /// Seconds of products, attention and sums; what is left is everything else.
  package let parts: [String: Double]
}

/// Measures one step of a transformer, both branches of guidance, and what it spends time on.
package struct StepBenchmark: Sendable {
  private let transformer: AuraFlowTransformer
  private let latentWidth: Int
  private let latentHeight: Int
  /// Tokens of each branch's text.
  private let textTokens = 32
  /// Pixels per latent pixel, as in every published model.
  private static let upscaling = 8

  /// Opens a transformer for pictures of a size.
  ///
  /// - Parameters:
  ///   - source: the transformer.
  ///   - width: pixels, rounded down to whole patches.
  ///   - height: pixels, rounded down to whole patches.
  /// - Throws: `ModelFileError` if the transformer cannot be run.
  package init(_ source: PartSource, width: Int, height: Int) throws(ModelFileError) {
    transformer = try AuraFlowTransformer(source)
    transformer.stepWeights.keepAll()
    let patch = transformer.configuration.patchSize
    let largest = transformer.largestLatentSide
    func latents(_ side: Int) -> Int {
      max(patch, min(side / Self.upscaling, largest) / patch * patch)
    }
    (latentWidth, latentHeight) = (latents(width), latents(height))
  }

  /// Runs one step.
  ///
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the pool is cancelled.
  package func run(
    threads: Int, activations: ActivationPrecision
  ) throws(ComputeError) -> StepResult {
    let profile = WorkProfile()
    let pool = ThreadPool(threadCount: threads, activations: activations)
    let measured = ThreadPool(threadCount: threads, activations: activations, profile: profile)
    let sizes = transformer.configuration
    let text = try Matrix(rows: textTokens, columns: sizes.textWidth)
    fillNormal(text)
    let latents = try Matrix(rows: 1, columns: sizes.latentChannels * latentWidth * latentHeight)
    fillNormal(latents)
    let context = try transformer.context(text: text, padding: 1, on: pool)
    let session = try transformer.session(
      [context, context], height: latentHeight, width: latentWidth,
      modulation: try transformer.modulation(times: [0.5], on: pool))
    let start = ContinuousClock.now
    _ = try transformer.velocities(
      [latents.values, latents.values], session, step: 0, on: measured)
    let patch = sizes.patchSize * sizes.patchSize
    return StepResult(
      width: latentWidth * Self.upscaling, height: latentHeight * Self.upscaling,
      tokens: 2
        * (latentWidth * latentHeight / patch + textTokens + sizes.registerCount + 1),
      threads: threads, kernels: pool.kernels.name,
      seconds: (ContinuousClock.now - start) / .seconds(1),
      parts: Dictionary(
        uniqueKeysWithValues: WorkKind.allCases.map {
          ($0.rawValue, profile.seconds[$0] ?? 0)
        }))
  }
}
