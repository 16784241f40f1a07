import Checkpoints

/// The sizes of a UMT5 text encoder.
struct TextEncoderSizes: Sendable {
  let width: Int
  let layerCount: Int
  let headCount: Int
  let feedForwardWidth: Int
  /// Pieces of the tokenizer.
  let pieceCount: Int
  /// Rows of the embedding, which published models pad.
  let vocabularySize: Int

  /// What all published models have.
  static let headDimension = 64
  static let bucketCount = 32
  static let maxDistance = 128
  static let epsilon = 1e-6

  /// All tensors under llama.cpp's names.
  var tensors: [SyntheticTensor] {
    [
      .table(
        .textEncoder, "token_embd.weight", [vocabularySize, width], .matrix, standardDeviation: 1)
    ] + (0..<layerCount).flatMap { layer("enc.blk.\($0)") } + [
      .vector(.textEncoder, "enc.output_norm.weight", width, 1)
    ]
  }

  private func layer(_ name: String) -> [SyntheticTensor] {
    let inner = headCount * Self.headDimension
    // T5 does not divide scores by the root of the head dimension; its weights have to.
    let queryGain = 1 / Float(Self.headDimension).squareRoot()
    return [
      .vector(.textEncoder, "\(name).attn_norm.weight", width, 1),
      .weight(.textEncoder, "\(name).attn_q.weight", [inner, width], gain: queryGain),
      .weight(.textEncoder, "\(name).attn_k.weight", [inner, width]),
      .weight(.textEncoder, "\(name).attn_v.weight", [inner, width]),
      .weight(.textEncoder, "\(name).attn_o.weight", [width, inner]),
      .table(
        .textEncoder, "\(name).attn_rel_b.weight", [Self.bucketCount, headCount], .sensitive,
        standardDeviation: 0.5),
      .vector(.textEncoder, "\(name).ffn_norm.weight", width, 1),
      .weight(.textEncoder, "\(name).ffn_gate.weight", [feedForwardWidth, width]),
      .weight(.textEncoder, "\(name).ffn_up.weight", [feedForwardWidth, width]),
      .weight(.textEncoder, "\(name).ffn_down.weight", [width, feedForwardWidth]),
    ]
  }
}
