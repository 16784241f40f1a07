import Foundation

/// DPM-Solver++ of second order with the last two predictions of the picture ("DPM++ 2M").
///
/// A flow's first step, from noise alone, is Euler's, and the second one of first order too.
///
/// - SeeAlso: Lu et al. 2022, arXiv 2211.01095; diffusers
///   `schedulers/scheduling_dpmsolver_multistep.py`, version 0.42.1.
package struct DPMSolverSampler: Sampler {
  /// The picture that was predicted before.
  private var before: [Latents]?

  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let (sigma, next) = (run.sigma(step), run.sigma(step + 1))
    let picture: [Latents] = .sum((1, latents), (-sigma, try evaluate(latents, step)))
    defer { before = picture }
    let alpha = run.mixture.alpha(next)
    guard next > 0 else { return latents = .sum((alpha, picture)) }
    // A flow begins with an infinitely small share of the picture.
    let beginsInNoise = run.mixture.alpha(sigma) == 0
    let h = beginsInNoise ? .infinity : run.logSNR(step + 1) - run.logSNR(step)
    let factor = -alpha * expm1(-h)
    var mean = picture
    if let before, step > 0, run.mixture.alpha(run.sigma(step - 1)) > 0 {
      let ratio = (run.logSNR(step) - run.logSNR(step - 1)) / h
      mean = .sum((1 + 0.5 / ratio, picture), (-0.5 / ratio, before))
    }
    latents = .sum((next / sigma, latents), (factor, mean))
  }

  package var history: [[Latents]] { before.map { [$0] } ?? [] }

  package static func historyCount(after steps: Int) -> Int { min(1, steps) }

  package mutating func resume(_ history: [[Latents]], at step: Int, of run: SampledRun) {
    before = history.first
  }
}
