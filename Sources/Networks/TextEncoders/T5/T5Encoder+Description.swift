import Checkpoints
import ModelFiles
import StrictJSON

extension T5Encoder {
  /// What is known of T5 encoders (v1.1) as data.
  package static let description = description(
    id: "T5Encoder", className: "T5EncoderModel", modelTypes: ["t5"])
  /// What is known of UMT5 encoders as data.
  package static let umt5Description = description(
    id: "UMT5Encoder", className: "UMT5EncoderModel", modelTypes: ["umt5", "t5"],
    distinguishing: ["enc.blk.1.attn_rel_b.weight"])

  private static func description(
    id: String, className: String, modelTypes: [String], distinguishing: [String] = []
  ) -> NetworkDescription {
    NetworkDescription(
      id: id, kin: "T5", library: .transformers, className: className, modelTypes: modelTypes,
      architecture: "t5encoder", tables: T5Names.tables, distinguishing: distinguishing,
      roles: roles, convention: .languageModel, settings: [maxDistance, epsilon],
      tokenTables: T5Names.tokenTables, lookupTables: T5Names.lookupTables
    ) { source throws(ModelFileError) in
      try T5Encoder(source).configuration.facts(epsilon: source.value(epsilon, in: 0...1))
    }
  }

  static let maxDistance = Setting(
    "relative_max_distance", metadata: "text_encoder.relative_max_distance",
    config: "relative_attention_max_distance", flag: "--relative-max-distance", published: 128)
  static let epsilon = Setting(
    "text_encoder_epsilon", metadata: "text_encoder.layer_norm_epsilon",
    otherMetadataKeys: [
      "t5encoder.attention.layer_norm_rms_epsilon", "t5.attention.layer_norm_rms_epsilon",
    ], config: "layer_norm_epsilon", published: 1e-6)

  private static let roles =
    [
      RoleRule(
        "token_embd.weight", .embedding, group: "text.tokens",
        content: .table(standardDeviation: 1)),
      RoleRule("enc.output_norm.weight", .vector, content: .constant(1)),
    ]
    + [
      // T5 does not divide scores by the root of the head dimension; its weights have to.
      layerRule("attn_q", .matrix, group: "text.attention", .weight(gain: 1 / 8)),
      layerRule("attn_k", .matrix, group: "text.attention"),
      layerRule("attn_v", .value, group: "text.attention"),
      layerRule("attn_o", .output, group: "text.attention"),
      layerRule("attn_rel_b", .vector, group: "text.attention", .table(standardDeviation: 0.5)),
      layerRule("attn_norm", .vector, group: "text.attention", .constant(1)),
      layerRule("ffn_norm", .vector, group: "text.up", .constant(1)),
      layerRule("ffn_gate", .matrix, group: "text.up"),
      layerRule("ffn_up", .matrix, group: "text.up"),
      layerRule("ffn_down", .textDown, group: "text.down"),
    ]

  private static func layerRule(
    _ name: String, _ role: TensorRole, group: String, _ content: SyntheticContent = .weight()
  ) -> RoleRule {
    RoleRule("enc.blk.{i}.\(name).weight", role, group: group, content: content)
  }
}

extension T5Encoder.Configuration {
  /// An encoder of given sizes, with what all published ones have.
  package init(
    width: Int, layerCount: Int, headCount: Int, feedForwardWidth: Int, vocabularySize: Int,
    sharesPositionBias: Bool
  ) {
    self.init(
      vocabularySize: vocabularySize, width: width, layerCount: layerCount, headCount: headCount,
      headDimension: 64, feedForwardWidth: feedForwardWidth,
      sharesPositionBias: sharesPositionBias, bucketCount: Self.publishedBucketCount,
      maxDistance: Int(T5Encoder.maxDistance.published),
      epsilon: Float(T5Encoder.epsilon.published))
  }

  /// What files say about the encoder.
  ///
  /// - Parameter epsilon: added to mean squares, as precise as it was written; nil for the
  ///   published one.
  /// - Returns: settings, metadata and configuration.
  package func facts(epsilon: Double? = nil) -> NetworkFacts {
    let epsilon = epsilon ?? T5Encoder.epsilon.published
    return NetworkFacts(
      settings: [
        SettingValue(T5Encoder.maxDistance, maxDistance),
        SettingValue(T5Encoder.epsilon, epsilon),
      ],
      standaloneMetadata: llamaMetadata(epsilon: epsilon), vocabularySize: vocabularySize
    ) { context in members(context, epsilon: epsilon) }
  }

  /// What llama.cpp needs of a T5 encoder.
  private func llamaMetadata(epsilon: Double) -> [(key: String, value: GGUFWriter.Value)] {
    func number(_ key: String, _ value: Int) -> (key: String, value: GGUFWriter.Value) {
      ("t5encoder.\(key)", .uint32(UInt32(clamping: value)))
    }
    return [
      number("context_length", 512), number("embedding_length", width),
      number("feed_forward_length", feedForwardWidth), number("block_count", layerCount),
      number("attention.head_count", headCount), number("attention.key_length", headDimension),
      number("attention.value_length", headDimension),
      ("t5encoder.attention.layer_norm_epsilon", .float32(Float(epsilon))),
      ("t5encoder.attention.layer_norm_rms_epsilon", .float32(Float(epsilon))),
      number("attention.relative_buckets_count", bucketCount),
    ]
  }

  private func members(
    _ context: ConfigurationContext, epsilon: Double
  ) -> [JSONValue.Member] {
    let json: JSONValue = [
      "architectures": [.string(sharesPositionBias ? "T5EncoderModel" : "UMT5EncoderModel")],
      "model_type": .string(sharesPositionBias ? "t5" : "umt5"),
      "d_ff": .integer(feedForwardWidth), "d_kv": .integer(headDimension),
      "d_model": .integer(width), "dense_act_fn": "gelu_new",
      "eos_token_id": .integer(sharesPositionBias ? 1 : 2),
      "feed_forward_proj": "gated-gelu", "is_gated_act": true, "is_encoder_decoder": true,
      "layer_norm_epsilon": .double(epsilon), "num_heads": .integer(headCount),
      "num_layers": .integer(layerCount), "pad_token_id": 0,
      "relative_attention_max_distance": .integer(maxDistance),
      "relative_attention_num_buckets": .integer(bucketCount),
      "torch_dtype": PipelineDescription.dataType(context.type),
      "vocab_size": .integer(vocabularySize),
    ]
    // An input's own tokenizer says which tokens these are.
    let ofInput = context.isSynthetic ? [] : ["eos_token_id", "pad_token_id"]
    return (json.members ?? []).filter { !ofInput.contains($0.key) }
  }
}
