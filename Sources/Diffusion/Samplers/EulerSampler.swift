/// The Euler step along the derivative. For models of noise it is DDIM's step without noise, too.
///
/// - SeeAlso: diffusers `schedulers/scheduling_flow_match_euler_discrete.py`, commit 58eb52c0.
package struct EulerSampler: Sampler {
  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let velocities = try evaluate(latents, step)
    advance(&latents, along: velocities, by: run.sigmas[step + 1] - run.sigmas[step])
  }
}

/// Moves latents along a derivative, as an Euler step does.
package func advance(_ latents: inout [Latents], along derivatives: [Latents], by difference: Float)
{
  for picture in latents.indices {
    for index in latents[picture].values.indices {
      latents[picture].values[index] += difference * derivatives[picture].values[index]
    }
  }
}
