import Checkpoints
import ModelFiles

extension T5Encoder.Configuration {
  /// Buckets of all published T5 models.
  static let publishedBucketCount = 32

  /// Reads the sizes.
  ///
  /// - Throws: `ModelFileError` if the tensors or the configuration do not describe a usable
  ///   encoder.
  init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    try source.requireConfigured("feed_forward_proj", only: "gated-gelu")
    let found = weights.layerCount("enc.blk.")
    let layerCount = try source.configured("num_layers", in: 1...1024) ?? found
    guard (1...1024).contains(layerCount) else {
      throw weights.malformed("the text encoder has \(layerCount) layers, expected 1...1024")
    }
    let sharesPositionBias = source.network.id == T5Encoder.description.id
    try Self.checkKind(source, layerCount: layerCount, sharesPositionBias: sharesPositionBias)
    let votes = Votes(weights: weights, layerCount: layerCount)
    let storedVocabulary = try source.configured("vocab_size", in: 1...1 << 24)
    let storedWidth = try source.configured("d_model", in: 1...1 << 20)
    let vocabularySize = try votes.required(
      storedVocabulary ?? weights.dimension("token_embd.weight", 0, rank: 2),
      "token_embd.weight", "[vocabulary, width]")
    let width = try votes.required(
      storedWidth ?? mostCommon(votes("attn_norm", 0) + votes("attn_q", 1) + votes("ffn_gate", 1)),
      "enc.blk.0.attn_norm.weight", "[width]")
    let inner = try votes.required(
      mostCommon(votes("attn_q", 0) + votes("attn_k", 0) + votes("attn_v", 0)),
      "enc.blk.0.attn_q.weight", "[attention features, \(width)]")
    let feedForwardWidth = try votes.required(
      mostCommon(votes("ffn_gate", 0) + votes("ffn_up", 0) + votes("ffn_down", 1)),
      "enc.blk.0.ffn_gate.weight", "[feed-forward width, \(width)]")
    let (bucketCount, headCount) = try Self.bias(source, votes, inner: inner)
    self.init(
      vocabularySize: vocabularySize, width: width, layerCount: layerCount, headCount: headCount,
      headDimension: inner / headCount, feedForwardWidth: feedForwardWidth,
      sharesPositionBias: sharesPositionBias, bucketCount: bucketCount,
      maxDistance: try source.integer(T5Encoder.maxDistance, in: 2...1_000_000),
      epsilon: Float(try source.value(T5Encoder.epsilon, in: 0...1)))
  }

  /// Tells T5 from UMT5: their tensors differ in nothing but position biases.
  private static func checkKind(
    _ source: PartSource, layerCount: Int, sharesPositionBias: Bool
  ) throws(ModelFileError) {
    let weights = source.weights
    func hasBias(_ layer: Int) -> Bool { weights.has("enc.blk.\(layer).attn_rel_b.weight") }
    let hasOthers = (1..<max(1, layerCount)).contains(where: hasBias)
    let kind: String
    if sharesPositionBias, hasOthers {
      kind = "is a UMT5 text encoder (each of its layers has"
    } else if !sharesPositionBias, layerCount > 2, hasBias(0), !hasOthers {
      kind = "is a T5 text encoder (v1.1; only its first layer has"
    } else {
      return
    }
    throw ModelFileError(
      path: weights.path, kind: .unsupported,
      fault: "\(kind) '\(weights.storedName("enc.blk.0.attn_rel_b.weight"))'): "
        + source.slot.need)
  }

  /// Position buckets and heads.
  private static func bias(
    _ source: PartSource, _ votes: Votes, inner: Int
  ) throws(ModelFileError) -> (bucketCount: Int, headCount: Int) {
    let storedBuckets = try source.configured("relative_attention_num_buckets", in: 4...65_536)
    let storedHeads = try source.configured("num_heads", in: 1...65_536)
    let name = "enc.blk.0.attn_rel_b.weight"
    let common = commonBias(votes("attn_rel_b", 0), votes("attn_rel_b", 1))
    let bucketCount = try votes.required(
      storedBuckets ?? common.buckets, name, "[position buckets, heads]")
    let headCount = try votes.required(
      storedHeads ?? common.heads, name, "[position buckets, heads]")
    guard headCount > 0, inner % headCount == 0, bucketCount >= 4, bucketCount % 2 == 0 else {
      guard storedBuckets == nil, storedHeads == nil else {
        throw source.weights.malformed(
          "\(inner) attention features, \(headCount) heads and \(bucketCount) position buckets do "
            + "not fit together")
      }
      throw source.weights.unfit(
        name, expected: "an even number of position buckets and heads that divide \(inner)")
    }
    return (bucketCount, headCount)
  }

  /// Position buckets and heads as most layers have them; of two layers that differ, the one with
  /// the usual number of buckets counts, so that the other is the one that is refused.
  private static func commonBias(
    _ buckets: [Int?], _ heads: [Int?]
  ) -> (buckets: Int?, heads: Int?) {
    guard let count = mostCommon(buckets + [publishedBucketCount]), buckets.contains(count) else {
      return (mostCommon(buckets), mostCommon(heads))
    }
    return (count, mostCommon(zip(buckets, heads).map { $0 == count ? $1 : nil }))
  }
}

/// What the layers' tensors say about a size; one of them may be damaged.
private struct Votes {
  let weights: StoredWeights
  let layerCount: Int

  /// One dimension of a weight of every layer.
  func callAsFunction(_ name: String, _ index: Int) -> [Int?] {
    (0..<layerCount).map { layer in
      weights.dimension(
        "enc.blk.\(layer).\(name).weight", index, rank: name.hasSuffix("norm") ? 1 : 2)
    }
  }

  /// A size, or the error about the tensor that should have told it.
  func required(
    _ size: Int?, _ name: String, _ expected: String
  ) throws(ModelFileError) -> Int {
    guard let size else { throw weights.unfit(name, expected: expected) }
    return size
  }
}
