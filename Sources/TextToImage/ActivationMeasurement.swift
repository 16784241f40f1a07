import Tensors

/// What is known of a generation whose activations were measured.
package struct MeasuredGeneration: Sendable {
  /// What was really done.
  package let settings: GenerationSettings
  /// Tokens of prompt and negative prompt that were cut off.
  package let droppedTokens: (prompt: Int, negativePrompt: Int)
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
    let limit = memory.limit.map { max(0, $0 - activationSumBytes) }
    return try await run(request, limit: limit, sums: sums, onProgress: onProgress) {
      run throws(GenerationError) in try run.measure()
    }
  }

  /// Bytes of the sums of all weights, of a copy that is kept, and of rows that are made for them.
  private var activationSumBytes: Int {
    let sizes = transformer.configuration
    let streams = 2 * sizes.doubleLayerCount + sizes.singleLayerCount
    let patch = sizes.patchSize * sizes.patchSize * sizes.latentChannels
    let text = textEncoder.configuration
    // Query, key, value, output, both gates and modulation have the width of the model.
    let columns =
      streams * (7 * sizes.hiddenSize + sizes.feedForwardWidth)
      + 3 * sizes.hiddenSize + sizes.textWidth + sizes.timeWidth + patch
      + text.layerCount
      * (5 * text.width + text.headCount * text.headDimension + text.feedForwardWidth)
    let widest = max(
      sizes.hiddenSize, sizes.feedForwardWidth, text.width, text.feedForwardWidth)
    return 2 * columns * MemoryLayout<Double>.stride + ActivationSums.rowBytes(columns: widest)
  }
}
