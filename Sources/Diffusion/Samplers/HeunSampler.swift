/// Heun's step: along the mean of the derivatives at both ends of an Euler step. The last step is
/// Euler's, so that a run of n steps asks the model 2n − 1 times.
///
/// - SeeAlso: diffusers `schedulers/scheduling_heun_discrete.py` and
///   `scheduling_flow_match_heun_discrete.py`, version 0.42.1.
package struct HeunSampler: Sampler {
  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let difference = run.sigmas[step + 1] - run.sigmas[step]
    let first = try evaluate(latents, step)
    guard step + 1 < run.stepCount else {
      return advance(&latents, along: first, by: difference)
    }
    var end = latents
    advance(&end, along: first, by: difference)
    let second = try evaluate(end, step + 1)
    advance(&latents, along: .sum((0.5, first), (0.5, second)), by: difference)
  }
}
