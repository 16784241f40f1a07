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

  /// What reads texts.
  struct Readers: Sendable {
    let textTokenizer: Tokenizer
    let textEncoder: T5Encoder
    let pooledTokenizer: Tokenizer
    let clipEncoder: CLIPTextEncoder

    func padded(_ ids: [Int32], to length: Int) -> [Int32] {
      ids + Array(repeating: textTokenizer.paddingID ?? 0, count: max(0, length - ids.count))
    }
  }

  /// Nil if the model was opened without.
  let readers: Readers?
  let transformer: FluxTransformer

  package var pooledEncoder: (name: String, maximumLength: Int)? {
    readers.map { ("CLIP", $0.clipEncoder.configuration.positionCount) }
  }

  package var stages: [WeightStage] {
    guard let readers else { return [] }
    return [
      WeightStage("T5 text encoder", readers.textEncoder.layerWeights),
      WeightStage("CLIP text encoder", readers.clipEncoder.layerWeights),
    ]
  }

  package var embeddingLayout: EmbeddingLayout {
    let sizes = transformer.configuration
    return EmbeddingLayout(
      width: sizes.textWidth, pooledWidth: sizes.pooledWidth, padding: .encoded)
  }

  package func tokens(of prompt: WeightedPrompt, maximumLength: Int) -> Tokens {
    guard let readers else {
      return Tokens(text: [], pooled: [], weights: nil, droppedCount: 0, droppedPooledCount: 0)
    }
    let texts = prompt.pieces.map(\.text)
    let text = readers.textTokenizer.encodeCounting(texts, maximumLength: maximumLength)
    // The vector of the whole prompt knows no weights, and only a first window of tokens: what is
    // beyond it counts for T5 alone, as in diffusers, where others cut windows (`WindowFormat`).
    let pooled = readers.pooledTokenizer.encodeCounting(
      texts, maximumLength: readers.clipEncoder.configuration.positionCount)
    let end = readers.pooledTokenizer.endOfSequenceID.flatMap(pooled.ids.firstIndex)
    return Tokens(
      text: readers.padded(text.ids, to: maximumLength),
      pooled: Array(pooled.ids[...(end ?? pooled.ids.count - 1)]),
      weights: TokenWeights(prompt, origins: text.origins), droppedCount: text.droppedCount,
      droppedPooledCount: pooled.droppedCount)
  }

  package func encode(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [EncodedPrompt] {
    guard let readers else { throw .withoutEncoders }
    // Padding counts, so that each length has an empty prompt of its own.
    let lengths = Set(
      prompts.filter { $0.weights?.needsEmptyPrompt == true }.map(\.text.count)
    ).sorted()
    let empty = lengths.map { readers.padded(readers.textTokenizer.encode(""), to: $0) }
    let texts = try readers.textEncoder(prompts.map(\.text) + empty, on: device)
    let pooled = try readers.clipEncoder(prompts.map(\.pooled), on: device)
    var encoded: [EncodedPrompt] = []
    for (tokens, (text, states)) in zip(prompts, zip(texts, pooled)) {
      var text = text
      if let weights = tokens.weights {
        let place = lengths.firstIndex(of: tokens.text.count)
        text = try weights.apply(
          to: text, empty: place.map { texts[prompts.count + $0] }, on: device)
      }
      // The end token's state, which has seen the whole prompt.
      let vector = try device.matrix(rows: 1, columns: states.columns)
      try device.copy(states.rows(states.rows - 1..<states.rows), to: vector)
      encoded.append(EncodedPrompt(states: text, paddedCount: text.rows, pooled: vector))
    }
    return encoded
  }

  package func condition(
    _ prompt: EncodedPrompt, on device: any ComputeDevice
  ) throws(ComputeError) -> FluxTransformer.Context {
    guard let pooled = prompt.pooled else {
      throw .unreadable(path: "prompt", fault: "was encoded without CLIP's vector")
    }
    return try transformer.context(text: prompt.states, pooled: pooled, on: device)
  }
}
