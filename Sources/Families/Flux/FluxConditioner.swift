import Compute
import Diffusion
import Networks
import Tokenizers

/// Turns prompts into the transformer's contexts: every token of T5, and one vector of CLIP.
package struct FluxConditioner: Conditioner {
  /// A prompt's tokens.
  package struct Tokens: PromptTokens {
    /// T5's, filled up: the model was trained without a mask.
    let text: [Int32]
    /// CLIP's, up to the end token: no token sees what follows it.
    let pooled: [Int32]
    /// Of T5's tokens.
    let weights: TokenWeights?
    package let droppedCount: Int
    package let droppedPooledCount: Int

    package var rowCounts: [Int] {
      [text.count, pooled.count] + (weights == nil ? [] : [1])
    }
  }

  let textTokenizer: Tokenizer
  let textEncoder: T5Encoder
  let pooledTokenizer: Tokenizer
  let clipEncoder: CLIPTextEncoder
  let transformer: FluxTransformer

  package var pooledEncoder: (name: String, maximumLength: Int)? {
    ("CLIP", clipEncoder.configuration.positionCount)
  }

  package var stages: [WeightStage] {
    [
      WeightStage("T5 text encoder", textEncoder.layerWeights),
      WeightStage("CLIP text encoder", clipEncoder.layerWeights),
    ]
  }

  package func tokens(of prompt: WeightedPrompt, maximumLength: Int) -> Tokens {
    let texts = prompt.pieces.map(\.text)
    let text = textTokenizer.encodeCounting(texts, maximumLength: maximumLength)
    // The vector of the whole prompt knows no weights.
    let pooled = pooledTokenizer.encodeCounting(
      texts, maximumLength: clipEncoder.configuration.positionCount)
    let end = pooledTokenizer.endOfSequenceID.flatMap(pooled.ids.firstIndex)
    return Tokens(
      text: padded(text.ids, to: maximumLength),
      pooled: Array(pooled.ids[...(end ?? pooled.ids.count - 1)]),
      weights: TokenWeights(prompt, origins: text.origins), droppedCount: text.droppedCount,
      droppedPooledCount: pooled.droppedCount)
  }

  private func padded(_ ids: [Int32], to length: Int) -> [Int32] {
    ids + Array(repeating: textTokenizer.paddingID ?? 0, count: max(0, length - ids.count))
  }

  package func condition(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [FluxTransformer.Context] {
    let length = prompts.map(\.text.count).max() ?? 0
    let needsEmpty = prompts.contains { $0.weights?.needsEmptyPrompt == true }
    let empty = needsEmpty ? [padded(textTokenizer.encode(""), to: length)] : []
    let texts = try textEncoder(prompts.map(\.text) + empty, on: device)
    let pooled = try clipEncoder(prompts.map(\.pooled), on: device)
    var contexts: [FluxTransformer.Context] = []
    for (tokens, (text, states)) in zip(prompts, zip(texts, pooled)) {
      var text = text
      if let weights = tokens.weights {
        text = try weights.apply(to: text, empty: needsEmpty ? texts.last : nil, on: device)
      }
      // The end token's state, which has seen the whole prompt.
      let vector = try device.matrix(rows: 1, columns: states.columns)
      try device.copy(states.rows(states.rows - 1..<states.rows), to: vector)
      contexts.append(try transformer.context(text: text, pooled: vector, on: device))
    }
    return contexts
  }
}
