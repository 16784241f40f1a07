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
    package let droppedCount: Int
    package let droppedPooledCount: Int

    package var rowCounts: [Int] { [text.count, pooled.count] }
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

  package func tokens(of text: String, maximumLength: Int) -> Tokens {
    let (ids, droppedCount) = textTokenizer.encodeCounting(text, maximumLength: maximumLength)
    let padding = Array(
      repeating: textTokenizer.paddingID ?? 0, count: max(0, maximumLength - ids.count))
    let (pooled, droppedPooledCount) = pooledTokenizer.encodeCounting(
      text, maximumLength: clipEncoder.configuration.positionCount)
    let end = pooledTokenizer.endOfSequenceID.flatMap(pooled.firstIndex)
    return Tokens(
      text: ids + padding, pooled: Array(pooled[...(end ?? pooled.count - 1)]),
      droppedCount: droppedCount, droppedPooledCount: droppedPooledCount)
  }

  package func condition(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [FluxTransformer.Context] {
    let texts = try textEncoder(prompts.map(\.text), on: device)
    let pooled = try clipEncoder(prompts.map(\.pooled), on: device)
    var contexts: [FluxTransformer.Context] = []
    for (text, states) in zip(texts, pooled) {
      // The end token's state, which has seen the whole prompt.
      let vector = try device.matrix(rows: 1, columns: states.columns)
      try device.copy(states.rows(states.rows - 1..<states.rows), to: vector)
      contexts.append(try transformer.context(text: text, pooled: vector, on: device))
    }
    return contexts
  }
}
