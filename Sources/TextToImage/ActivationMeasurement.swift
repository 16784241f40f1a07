import Compute
import ComputeCPU
import Diffusion

/// What is known of a generation whose activations were measured.
package struct MeasuredGeneration: Sendable {
  /// What was really done.
  package let settings: GenerationSettings
  /// Tokens of prompt and negative prompt that were cut off.
  package let droppedTokens: DroppedTokens
}

extension Pipeline {
  /// Runs a request up to its latents, and adds up what enters each weight of text encoder and
  /// transformer. The image decoder is not run.
  ///
  /// Rows are those that the program multiplies: tokens of both branches at every step; all padding
  /// of a prompt as one token, which is how it is computed; texts once for all steps where they
  /// enter the transformer, times of the schedule once for all branches.
  ///
  /// - Parameters:
  ///   - request: what to generate.
  ///   - sums: where activations are added up; a failed run leaves it with part of them.
  ///   - onProgress: as in `generate`.
  /// - Returns: what was done.
  /// - Throws: `GenerationError`.
  package func measureActivations(
    of request: GenerationRequest, into sums: ActivationSums,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void = { _ in }
  ) async throws(GenerationError) -> MeasuredGeneration {
    let reserved = try activationSumBytes(of: request)
    return try await run(
      request, reserving: reserved, observer: sums, onProgress: onProgress
    ) { run throws(GenerationError) in try run.measure() }
  }

  /// Bytes of the sums of all weights, of a copy that is kept, and of rows that are made for them.
  private func activationSumBytes(
    of request: GenerationRequest
  ) throws(GenerationError) -> Int {
    let settings = try settings(for: request)
    func inputs<Model: DiffusionModel>(_ model: Model) throws(ComputeError) -> [Int] {
      let request = PreparedRequest(model, settings)
      return Array(try demands(of: request).inputs.values)
    }
    do throws(ComputeError) {
      let columns = try inputs(model)
      return 2 * columns.reduce(0, +) * MemoryLayout<Double>.stride
        + ActivationSums.rowBytes(columns: columns.max() ?? 0)
    } catch {
      throw GenerationError(error)
    }
  }
}
