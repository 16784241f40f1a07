/// A place on the way from noise to a picture.
package struct TrajectoryPoint: Sendable, Equatable {
  /// The step that starts there, from 0.
  package let step: Int
  /// The latents at its noise level, `[channels, height, width]`.
  package let latents: [Float]

  /// Names a place.
  package init(step: Int, latents: [Float]) {
    self.step = step
    self.latents = latents
  }
}

extension Pipeline {
  /// What the model predicts at given places of a trajectory, without following it: this tells the
  /// quality of weights apart from where a path leads that has left another one.
  ///
  /// - Parameters:
  ///   - request: prompts, size and schedule; one picture.
  ///   - points: where to ask; steps that the schedule has.
  ///   - onProgress: told of stages, and of points as if they were steps.
  /// - Returns: for each point the velocity after guidance, `[channels, height, width]`.
  /// - Throws: `GenerationError`.
  package func velocities(
    of request: GenerationRequest, at points: [TrajectoryPoint],
    onProgress: @escaping @Sendable (GenerationProgress) -> Void = { _ in }
  ) async throws(GenerationError) -> [[Float]] {
    try await run(request, onProgress: onProgress) {
      run throws(GenerationError) in try run.velocities(at: points)
    }
  }

  /// The latents from which a request's first picture starts.
  package func initialLatents(
    for request: GenerationRequest
  ) throws(GenerationError) -> [Float] {
    let count = latentShape(for: try settings(for: request)).dropFirst().reduce(1, *)
    if let latents = request.latents { return Array(latents.prefix(count)) }
    return startNoise(seed: request.seed, count: count)
  }
}

/// The distance of `values` from `reference`, relative to the reference's length.
package func relativeDistance(_ values: [Float], _ reference: [Float]) -> Double {
  var (difference, length) = (0.0, 0.0)
  for (value, reference) in zip(values, reference) {
    let (a, b) = (Double(value), Double(reference))
    difference += (a - b) * (a - b)
    length += b * b
  }
  return length > 0 ? (difference / length).squareRoot() : (difference > 0 ? .infinity : 0)
}
