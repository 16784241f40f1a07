import Compute
import Diffusion
import Networks
import Tokenizers

/// Turns prompts into the transformer's contexts: SentencePiece tokens, the UMT5 encoder, and the
/// transformer's own projection with its registers.
package struct AuraFlowConditioner: Conditioner {
  /// A prompt's tokens.
  package struct Tokens: PromptTokens {
    let ids: [Int32]
    let weights: TokenWeights?
    package let droppedCount: Int
    /// Tokens that the reference fills prompts up to.
    let maximumLength: Int

    package var rowCounts: [Int] {
      [ids.count, maximumLength] + (weights == nil ? [] : [1])
    }
  }

  /// What reads texts.
  struct Reader: Sendable {
    let tokenizer: Tokenizer
    let encoder: T5Encoder
  }

  /// Nil if the model was opened without.
  let reader: Reader?
  let transformer: AuraFlowTransformer

  package var stages: [WeightStage] {
    reader.map { [WeightStage("text encoder", $0.encoder.layerWeights)] } ?? []
  }

  package var embeddingLayout: EmbeddingLayout {
    EmbeddingLayout(width: transformer.configuration.textWidth, padding: .masked)
  }

  package func tokens(of prompt: WeightedPrompt, maximumLength: Int) -> Tokens {
    guard let reader else {
      return Tokens(ids: [], weights: nil, droppedCount: 0, maximumLength: maximumLength)
    }
    let tokens = reader.tokenizer.encodeCounting(
      prompt.pieces.map(\.text), maximumLength: maximumLength)
    return Tokens(
      ids: tokens.ids, weights: TokenWeights(prompt, origins: tokens.origins),
      droppedCount: tokens.droppedCount, maximumLength: maximumLength)
  }

  package func encode(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [EncodedPrompt] {
    guard let reader else { throw .withoutEncoders }
    // Padding is masked, so that the empty prompt has one row only.
    let needsEmpty = prompts.contains { $0.weights?.needsEmptyPrompt == true }
    let empty = needsEmpty ? [reader.tokenizer.encode("")] : []
    let embeddings = try reader.encoder(prompts.map(\.ids) + empty, on: device)
    var encoded: [EncodedPrompt] = []
    for (tokens, embedding) in zip(prompts, embeddings) {
      var embedding = embedding
      if let weights = tokens.weights {
        embedding = try weights.apply(
          to: embedding, empty: needsEmpty ? embeddings.last : nil, on: device)
      }
      encoded.append(
        EncodedPrompt(
          states: embedding, paddedCount: max(tokens.ids.count, tokens.maximumLength)))
    }
    return encoded
  }

  package func condition(
    _ prompt: EncodedPrompt, on device: any ComputeDevice
  ) throws(ComputeError) -> AuraFlowTransformer.Context {
    try transformer.context(
      text: prompt.states, padding: prompt.paddedCount - prompt.states.rows, on: device)
  }
}
