import Foundation

/// Takes latents from one noise level to the next.
///
/// A value is used for one run: it keeps what later steps need of earlier ones.
package protocol Sampler: Sendable {
  /// Makes one step.
  ///
  /// The model is asked at levels of the run only, never at the last one: what depends on time
  /// alone is computed for them before the first step.
  ///
  /// - Parameters:
  ///   - latents: of all pictures; changed in place.
  ///   - step: its number, from 0 in order.
  ///   - run: the levels of the whole run.
  ///   - noise: draws the next noise of a picture, from the stream of its start noise.
  ///   - evaluate: dx/dσ for latents at the level of an index, which is the output of models that
  ///     predict a flow's velocity or the noise.
  /// - Throws: what `evaluate` throws.
  mutating func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, of run: SampledRun, noise: (_ picture: Int) -> [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure)

  /// What later steps need of earlier ones, beside the latents: some latents of all pictures each.
  var history: [[Latents]] { get }
  /// How many of them there are after some steps.
  static func historyCount(after steps: Int) -> Int
  /// Goes on where another run of the same levels ended.
  ///
  /// - Parameters:
  ///   - history: of the sampler of that run; as many as `historyCount(after:)` says.
  ///   - step: the step that comes next.
  ///   - run: the levels of the whole run.
  mutating func resume(_ history: [[Latents]], at step: Int, of run: SampledRun)
}

/// Most samplers need nothing of earlier steps.
extension Sampler {
  package var history: [[Latents]] { [] }
  package static func historyCount(after steps: Int) -> Int { 0 }
  package mutating func resume(_ history: [[Latents]], at step: Int, of run: SampledRun) {}
}

/// The levels of a run, and what lies between them.
package struct SampledRun: Sendable {
  /// How noise is mixed with pictures.
  package let mixture: NoiseMixture
  /// Noise levels, one more than steps. The last one may be 0.
  package let sigmas: [Float]
  /// Training timesteps of all levels but the last, from 0 to 1000.
  package let timesteps: [Float]

  /// Steps of the run.
  package var stepCount: Int { sigmas.count - 1 }

  package init(mixture: NoiseMixture, sigmas: [Float], timesteps: [Float]) {
    self.mixture = mixture
    self.sigmas = sigmas
    self.timesteps = timesteps
  }

  /// The level that a step begins with.
  func sigma(_ index: Int) -> Double { Double(sigmas[index]) }

  /// Half the logarithm of the signal's power over the noise's, at a level.
  func logSNR(_ index: Int) -> Double { mixture.logSNR(sigma(index)) }
}

/// How a picture x0 and noise n are mixed at a level σ: x = α x0 + σ n.
package enum NoiseMixture: Sendable, Equatable {
  /// α = 1 − σ: flow matching; dx/dσ = n − x0 is the velocity.
  case flow
  /// α = 1: what is left of diffusion with preserved variance when latents are divided by their
  /// factor of the picture; dx/dσ = n.
  case varianceExploding

  /// The picture's factor at a level.
  func alpha(_ sigma: Double) -> Double { self == .flow ? 1 - sigma : 1 }

  /// ln(α / σ). A flow's beginning, where it is −∞, counts as 1 − 10⁻⁶, as in diffusers' solvers.
  func logSNR(_ sigma: Double) -> Double {
    guard self == .flow else { return -log(sigma) }
    let sigma = min(sigma, 1 - 1e-6)
    return log((1 - sigma) / sigma)
  }
}

extension [Latents] {
  /// The sum of latents times factors, in this order, picture by picture.
  package static func sum(_ terms: (factor: Double, latents: [Latents])...) -> [Latents] {
    guard let first = terms.first else { return [] }
    return first.latents.indices.map { picture in
      let factor = Float(first.factor)
      var values = first.latents[picture].values.map { $0 * factor }
      for term in terms.dropFirst() {
        let factor = Float(term.factor)
        values = zip(values, term.latents[picture].values).map { $0 + factor * $1 }
      }
      return first.latents[picture].with(values)
    }
  }

  /// Adds noise of each picture, times a factor.
  mutating func add(_ factor: Double, noise: (_ picture: Int) -> [Float]) {
    for picture in indices {
      let values = noise(picture)
      for index in values.indices { self[picture].values[index] += Float(factor) * values[index] }
    }
  }
}
