/// The Euler step along the velocity.
///
/// - SeeAlso: diffusers `schedulers/scheduling_flow_match_euler_discrete.py`, commit 58eb52c0.
package struct EulerSampler: Sampler {
  package init() {}

  package func levels(for sigmas: [Float]) -> [Float] { Array(sigmas.dropLast()) }

  package func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, sigmas: [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let velocities = try evaluate(latents, step)
    let difference = sigmas[step + 1] - sigmas[step]
    for picture in latents.indices {
      for index in latents[picture].values.indices {
        latents[picture].values[index] += difference * velocities[picture].values[index]
      }
    }
  }
}
