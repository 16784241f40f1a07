import Compute
import ComputeCPU
import Diffusion
import Machine

/// What one step took, by kind of work.
package struct StepResult: Sendable, Encodable {
  package let width: Int
  package let height: Int
  /// Tokens of all branches together.
  package let tokens: Int
  /// Tokens of each branch's text.
  package let textTokens: Int
  /// Branches of guidance.
  package let branches: Int
  package let threads: Int
  package let kernels: String
  package let seconds: Double
  /// Seconds of products, attention and sums; what is left is everything else.
  package let parts: [String: Double]
}

/// Measures one step of a transformer, and what it spends time on.
private struct StepBenchmark<Network: Denoiser> {
  private let denoiser: Network
  private let size: LatentSize
  /// Tokens of each branch's text.
  private let textTokens: Int
  /// Branches of guidance.
  private let branches: Int

  /// - Parameters:
  ///   - denoiser: the transformer.
  ///   - size: of the latents.
  ///   - textTokens: tokens of each branch's text; nil for as many as are usual.
  ///   - branches: branches of guidance; nil for as many as are usual.
  init(_ denoiser: Network, _ size: LatentSize, textTokens: Int?, branches: Int?) {
    self.denoiser = denoiser
    self.textTokens = textTokens ?? denoiser.usualWork.textTokens
    self.branches = branches ?? denoiser.usualWork.branches
    self.size = size
    denoiser.stepStage.weights.keepAll()
  }

  /// Runs one step.
  ///
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func run(
    threads: Int, activations: ActivationPrecision
  ) throws(ComputeError) -> StepResult {
    let profile = WorkProfile()
    let pool = ThreadPool(threadCount: threads)
    let device = CPUDevice(pool, activations: activations)
    let measured = CPUDevice(pool, activations: activations, observer: profile)
    let prompt = try denoiser.blankConditioning(textTokens: textTokens, on: device)
    let prepared = try denoiser.prepare(
      Array(repeating: prompt, count: branches), times: [0.5], guidance: 3.5, size: size, on: device
    )
    let latents = try normalLatents(channels: denoiser.geometry.channels, size)
    let session = try denoiser.session(
      prepared, prompts: Array(0..<branches), on: device)
    let start = ContinuousClock.now
    _ = try denoiser.predict(
      Array(repeating: latents, count: branches), session, time: 0, on: measured)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rows = denoiser.rowCounts(size, textTokens: textTokens)
    return StepResult(
      width: size.width * Network.upscaling, height: size.height * Network.upscaling,
      tokens: branches * (rows.image + rows.context), textTokens: textTokens, branches: branches,
      threads: threads, kernels: device.kernels.name, seconds: seconds,
      parts: Dictionary(
        uniqueKeysWithValues: WorkKind.allCases.map {
          ($0.rawValue, profile.seconds[$0] ?? 0)
        }))
  }
}

extension Denoiser {
  /// Pixels per latent pixel, as in every published model.
  fileprivate static var upscaling: Int { 8 }

  /// Sides in pixels that a step can have: multiples of the range's lower bound.
  package var stepSides: ClosedRange<Int> {
    Self.upscaling * geometry.sideMultiple...Self.upscaling * geometry.largestSide
  }

  /// Measures one step for a picture.
  ///
  /// - Parameters:
  ///   - width: pixels, one of ``stepSides``.
  ///   - height: pixels, one of ``stepSides``.
  ///   - textTokens: tokens of each branch's text; nil for as many as are usual.
  ///   - branches: branches of guidance; nil for as many as are usual.
  ///   - threads: threads to compute on.
  ///   - activations: how products quantize their activations.
  /// - Returns: the time, by kind of work.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package func measureStep(
    width: Int, height: Int, textTokens: Int? = nil, branches: Int? = nil, threads: Int,
    activations: ActivationPrecision
  ) throws(ComputeError) -> StepResult {
    try StepBenchmark(
      self, LatentSize(height: height / Self.upscaling, width: width / Self.upscaling),
      textTokens: textTokens, branches: branches
    )
    .run(threads: threads, activations: activations)
  }
}
