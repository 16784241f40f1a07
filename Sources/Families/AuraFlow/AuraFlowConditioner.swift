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

  let tokenizer: Tokenizer
  let encoder: T5Encoder
  let transformer: AuraFlowTransformer

  package var stages: [WeightStage] { [WeightStage("text encoder", encoder.layerWeights)] }

  package func tokens(of prompt: WeightedPrompt, maximumLength: Int) -> Tokens {
    let tokens = tokenizer.encodeCounting(
      prompt.pieces.map(\.text), maximumLength: maximumLength)
    return Tokens(
      ids: tokens.ids, weights: TokenWeights(prompt, origins: tokens.origins),
      droppedCount: tokens.droppedCount, maximumLength: maximumLength)
  }

  package func condition(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [AuraFlowTransformer.Context] {
    // Padding is masked, so that the empty prompt has one row only.
    let needsEmpty = prompts.contains { $0.weights?.needsEmptyPrompt == true }
    let empty = needsEmpty ? [tokenizer.encode("")] : []
    let embeddings = try encoder(prompts.map(\.ids) + empty, on: device)
    var contexts: [AuraFlowTransformer.Context] = []
    for (tokens, embedding) in zip(prompts, embeddings) {
      var embedding = embedding
      if let weights = tokens.weights {
        embedding = try weights.apply(
          to: embedding, empty: needsEmpty ? embeddings.last : nil, on: device)
      }
      contexts.append(
        try transformer.context(
          text: embedding, padding: max(0, tokens.maximumLength - tokens.ids.count), on: device))
    }
    return contexts
  }
}
