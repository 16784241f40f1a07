/// The Euler step to a level below the next one, and new noise up to it.
///
/// - SeeAlso: diffusers `schedulers/scheduling_euler_ancestral_discrete.py` (version 0.42.1); for
///   flows ComfyUI's `sample_euler_ancestral_RF`, here with η = 1.
package struct EulerAncestralSampler: Sampler {
  package init() {}

  package mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure) {
    let (sigma, next) = (run.sigma(step), run.sigma(step + 1))
    let derivatives = try evaluate(latents, step)
    switch run.mixture {
    case .varianceExploding:
      let up = min(next, (next * next * (sigma * sigma - next * next)).squareRoot() / sigma)
      let down = max(0, next * next - up * up).squareRoot()
      advance(&latents, along: derivatives, by: Float(down - sigma))
      if next > 0 { latents.add(up, noise: noise) }
    case .flow:
      // At a level σ(down) of the flow the picture's share is larger than at the next one: it is
      // scaled back, and noise fills up what is missing.
      let down = next * next / sigma
      advance(&latents, along: derivatives, by: Float(down - sigma))
      guard next > 0 else { return }
      let share = (1 - next) / (1 - down)
      latents = .sum((share, latents))
      latents.add(
        max(0, next * next - down * down * share * share).squareRoot(), noise: noise)
    }
  }
}
