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
    package let droppedCount: Int
    /// Tokens that the reference fills prompts up to.
    let maximumLength: Int

    package var rowCounts: [Int] { [ids.count, maximumLength] }
  }

  let tokenizer: Tokenizer
  let encoder: T5Encoder
  let transformer: AuraFlowTransformer

  package var stages: [WeightStage] { [WeightStage("text encoder", encoder.layerWeights)] }

  package func tokens(of text: String, maximumLength: Int) -> Tokens {
    let tokens = tokenizer.encodeCounting(text, maximumLength: maximumLength)
    return Tokens(
      ids: tokens.ids, droppedCount: tokens.droppedCount, maximumLength: maximumLength)
  }

  package func condition(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [AuraFlowTransformer.Context] {
    let embeddings = try encoder(prompts.map(\.ids), on: device)
    var contexts: [AuraFlowTransformer.Context] = []
    for (tokens, embedding) in zip(prompts, embeddings) {
      contexts.append(
        try transformer.context(
          text: embedding, padding: max(0, tokens.maximumLength - tokens.ids.count), on: device))
    }
    return contexts
  }
}
