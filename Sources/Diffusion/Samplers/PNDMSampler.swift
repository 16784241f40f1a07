/// Pseudo linear multi-step with up to four predictions of the noise (PLMS); the first step is
/// Heun's.
///
/// For models that predict noise. A run of n steps asks the model n + 1 times.
///
/// - SeeAlso: Liu et al. 2022, arXiv 2202.09778; diffusers `schedulers/scheduling_pndm.py` with
///   `skip_prk_steps`, version 0.42.1.
package struct PNDMSampler: Sampler {
  /// Predictions of earlier steps, the latest first.
  package private(set) var history: [[Latents]] = []

  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let difference = run.sigmas[step + 1] - run.sigmas[step]
    let prediction = try evaluate(latents, step)
    let mean: [Latents]
    switch history.count {
    case 0 where run.stepCount > 1:
      var end = latents
      advance(&end, along: prediction, by: difference)
      mean = .sum((0.5, try evaluate(end, step + 1)), (0.5, prediction))
    case 0: mean = prediction
    case 1: mean = .sum((1.5, prediction), (-0.5, history[0]))
    case 2: mean = .sum((23 / 12, prediction), (-16 / 12, history[0]), (5 / 12, history[1]))
    default:
      mean = .sum(
        (55 / 24, prediction), (-59 / 24, history[0]), (37 / 24, history[1]),
        (-9 / 24, history[2]))
    }
    history = [prediction] + history.prefix(2)
    advance(&latents, along: mean, by: difference)
  }

  package static func historyCount(after steps: Int) -> Int { min(3, steps) }

  package mutating func resume(_ history: [[Latents]], at step: Int, of run: SampledRun) {
    self.history = history
  }
}
