import Compute

/// What a branch of guidance is conditioned on: a text, what encoders made of one before, or a
/// mixture of either with what they made of another one.
package struct PromptSource<Tokens: PromptTokens>: PromptTokens {
  /// Where it comes from.
  package enum Origin: Sendable {
    /// A text, for the encoders.
    case tokens(Tokens)
    /// What they made of one.
    case embedding(PromptEmbedding)
  }

  package let origin: Origin
  /// What is mixed in, and how far: above 0 and below 1.
  package let blend: (other: PromptEmbedding, share: Float)?

  /// - Parameters:
  ///   - origin: where it comes from.
  ///   - blend: what is mixed in, and how far: at 0 not at all, at 1 it takes the origin's place.
  package init(_ origin: Origin, blend: (other: PromptEmbedding, share: Float)? = nil) {
    guard let blend, blend.share > 0 else {
      (self.origin, self.blend) = (origin, nil)
      return
    }
    let isWhole = blend.share >= 1
    self.origin = isWhole ? .embedding(blend.other) : origin
    self.blend = isWhole ? nil : blend
  }

  /// The text; nil where encoders have nothing to do.
  package var tokens: Tokens? {
    guard case .tokens(let tokens) = origin else { return nil }
    return tokens
  }

  package var droppedCount: Int { tokens?.droppedCount ?? 0 }
  package var droppedPooledCount: Int { tokens?.droppedPooledCount ?? 0 }

  package var rowCounts: [Int] {
    func counts(_ embedding: PromptEmbedding) -> [Int] {
      [embedding.tokenCount, embedding.paddedCount]
    }
    let mixed = blend.map { counts($0.other) } ?? []
    switch origin {
    case .tokens(let tokens): return tokens.rowCounts + mixed
    // No text has no rows: what encoders need is told from what they do not need.
    case .embedding(let embedding): return [0] + counts(embedding) + mixed
    }
  }
}

extension Conditioner {
  /// What the denoiser is conditioned on. All texts pass through a layer of an encoder before the
  /// next one's weights are read; where there is none, none are read.
  ///
  /// - Parameters:
  ///   - prompts: of all branches, and of all requests that are encoded together.
  ///   - device: where to compute.
  /// - Returns: as many, in the same order.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package func condition(
    _ prompts: [PromptSource<Tokens>], on device: any ComputeDevice
  ) throws(ComputeError) -> [Conditioning] {
    var conditions: [Conditioning] = []
    for prompt in try encoded(prompts, on: device) {
      conditions.append(try condition(prompt, on: device))
    }
    return conditions
  }

  /// What text encoders make of prompts, with what is mixed in.
  ///
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package func encoded(
    _ prompts: [PromptSource<Tokens>], on device: any ComputeDevice
  ) throws(ComputeError) -> [EncodedPrompt] {
    let texts = prompts.compactMap(\.tokens)
    var rest = (texts.isEmpty ? [] : try encode(texts, on: device))[...]
    var all: [EncodedPrompt] = []
    for prompt in prompts {
      var encoded: EncodedPrompt?
      switch prompt.origin {
      case .tokens: encoded = rest.popFirst()
      case .embedding(let embedding): encoded = try EncodedPrompt(embedding, on: device)
      }
      guard let own = encoded else { continue }
      guard let (other, share) = prompt.blend else {
        all.append(own)
        continue
      }
      let mixture = try own.embedding(on: device).blended(with: other, share: share)
      all.append(try EncodedPrompt(mixture, on: device))
    }
    return all
  }

  /// Encodes texts for the denoiser.
  package func condition(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [Conditioning] {
    try condition(prompts.map { PromptSource(.tokens($0)) }, on: device)
  }
}
