import Foundation

/// UniPC of second order with the function B₂ ("bh2"): a predictor from the last pictures, which
/// the next prediction corrects.
///
/// - SeeAlso: Zhao et al. 2023, arXiv 2302.04867; diffusers
///   `schedulers/scheduling_unipc_multistep.py`, version 0.42.1.
package struct UniPCSampler: Sampler {
  /// Latents before the last step, corrected.
  private var last: [Latents] = []
  /// Pictures that were predicted at the levels before, the latest first.
  private var pictures: [[Latents]] = []
  /// Order of the last predictor.
  private var order = 0

  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let picture: [Latents] = .sum((1, latents), (-run.sigma(step), try evaluate(latents, step)))
    if step > 0 { latents = corrected(picture, step, run) }
    last = latents
    order = Self.order(of: step, run)
    latents = predicted(picture, step, run)
    pictures = [picture] + pictures.prefix(1)
  }

  /// The order of a step's predictor.
  private static func order(of step: Int, _ run: SampledRun) -> Int {
    min(2, run.stepCount - step, step + 1)
  }

  package var history: [[Latents]] { pictures.isEmpty ? [] : [last] + pictures }

  package static func historyCount(after steps: Int) -> Int { steps > 0 ? 1 + min(2, steps) : 0 }

  package mutating func resume(_ history: [[Latents]], at step: Int, of run: SampledRun) {
    guard let first = history.first else { return }
    (last, pictures) = (first, Array(history.dropFirst()))
    order = Self.order(of: step - 1, run)
  }

  /// What a step to a level leads to by pictures of first order, and minus the factor of more.
  private func firstOrder(
    _ picture: [Latents], to level: Int, _ run: SampledRun
  ) -> (latents: [Latents], factor: Double, h: Double) {
    let (sigma, next) = (run.sigma(level - 1), run.sigma(level))
    let h = next > 0 ? run.logSNR(level) - run.logSNR(level - 1) : .infinity
    let factor = -run.mixture.alpha(next) * expm1(-h)
    return (.sum((next / sigma, last), (factor, picture)), factor, h)
  }

  private func predicted(_ picture: [Latents], _ step: Int, _ run: SampledRun) -> [Latents] {
    let (latents, factor, h) = firstOrder(picture, to: step + 1, run)
    guard order == 2, let before = pictures.first else { return latents }
    let ratio = (run.logSNR(step - 1) - run.logSNR(step)) / h
    let half = 0.5 * factor / ratio
    return .sum((1, latents), (half, before), (-half, picture))
  }

  private func corrected(_ picture: [Latents], _ step: Int, _ run: SampledRun) -> [Latents] {
    let before = pictures[0]
    let (latents, factor, h) = firstOrder(before, to: step, run)
    guard order == 2, pictures.count == 2 else {
      return .sum((1, latents), (0.5 * factor, picture), (-0.5 * factor, before))
    }
    let ratio = (run.logSNR(step - 2) - run.logSNR(step - 1)) / h
    // The integrals of the exponential times 1 and t over the step, over B₂.
    let b = expm1(-h)
    let first = b / -h - 1
    let (b1, b2) = (first / b, 2 * (first / -h - 0.5) / b)
    let older = (b2 - b1) / (ratio - 1)
    let newer = b1 - older
    return .sum(
      (1, latents), (factor * older / ratio, pictures[1]),
      (-factor * (older / ratio + newer), before), (factor * newer, picture))
  }
}
