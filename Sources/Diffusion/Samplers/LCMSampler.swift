/// The picture that is predicted, with new noise up to the next level: the sampler of latent
/// consistency models, and of other models that were distilled for a few steps.
///
/// - SeeAlso: diffusers `schedulers/scheduling_lcm.py`; for flows `stochastic_sampling` of
///   `scheduling_flow_match_euler_discrete.py`, version 0.42.1.
package struct LCMSampler: Sampler {
  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let (sigma, next) = (run.sigma(step), run.sigma(step + 1))
    var picture: [Latents] = .sum((1, latents), (-sigma, try evaluate(latents, step)))
    if run.mixture == .varianceExploding {
      // At time 0 a consistency model is the identity: its boundary condition, by timesteps of ten.
      let scaled = 10 * Double(run.timesteps[step])
      let (variance, sum) = (0.25, scaled * scaled + 0.25)
      let own = variance / sum / (1 + sigma * sigma).squareRoot()
      picture = .sum((scaled / sum.squareRoot(), picture), (own, latents))
    }
    latents = .sum((run.mixture.alpha(next), picture))
    if next > 0 { latents.add(next, noise: noise) }
  }
}
