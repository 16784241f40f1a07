/// Takes latents from one noise level to the next.
package protocol Sampler: Sendable {
  /// Every level at which the model will be asked: what depends on time alone is computed for them
  /// before the first step.
  func levels(for sigmas: [Float]) -> [Float]

  /// Makes one step.
  ///
  /// - Parameters:
  ///   - latents: of all pictures; changed in place.
  ///   - step: its number.
  ///   - sigmas: of the whole run.
  ///   - evaluate: the model's output for latents at the level of an index in `levels`.
  /// - Throws: what `evaluate` throws.
  func step<Failure: Error>(
    _ latents: inout [Latents], _ step: Int, sigmas: [Float],
    evaluate: (_ latents: [Latents], _ level: Int) throws(Failure) -> [Latents]
  ) throws(Failure)
}
