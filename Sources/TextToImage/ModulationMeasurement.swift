import Diffusion

extension Pipeline {
  /// Whether what enters the modulation depends on prompts, not on time and guidance alone.
  package var modulationReadsPrompts: Bool {
    func answer<Model: DiffusionModel>(_ model: Model) -> Bool {
      model.denoiser.modulationReadsPrompts
    }
    return answer(model)
  }

  /// Noise levels spread evenly from 1 to 0.001: the end of a path is no level of any step.
  package static func modulationLevels(_ count: Int) -> [Float] {
    (0..<count).map { 1 - 0.999 * Float($0) / Float(max(1, count - 1)) }
  }

  /// The rows that enter all matrices whose role is modulation, at noise levels spread evenly.
  ///
  /// A distilled guidance is taken at half its usual strength to twice.
  ///
  /// - Parameters:
  ///   - request: whose prompts count.
  ///   - count: noise levels.
  /// - Returns: `[rows, columns]`.
  /// - Throws: `GenerationError`.
  package func modulationInputs(
    of request: GenerationRequest, levels count: Int
  ) async throws(GenerationError) -> (rows: [Float], columns: Int) {
    let levels = Self.modulationLevels(count)
    let usual = try settings(for: request).guidance.map { Float($0) }
    let guidance: [Float?] = usual.map { usual in [0.5, 1, 1.5, 2].map { usual * $0 } } ?? [nil]
    return try await run(request, onProgress: { _ in }) {
      run throws(GenerationError) in
      try run.modulationInputs(levels: levels, guidance: guidance)
    }
  }
}
