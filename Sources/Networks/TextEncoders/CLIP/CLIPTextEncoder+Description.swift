import Checkpoints
import ModelFiles
import StrictJSON

extension CLIPTextEncoder {
  /// What is known of CLIP's text encoders as data.
  package static let description = NetworkDescription(
    id: "CLIPTextModel", library: .transformers, className: "CLIPTextModel",
    modelTypes: ["clip_text_model", "clip"], architecture: "clip", tables: CLIPNames.tables,
    folderTable: 0, roles: roles, convention: .languageModel, settings: [headDimension, epsilon],
    tokenTables: [CLIPNames.tokenTable],
    lookupTables: [CLIPNames.tokenTable, CLIPNames.positionTable], idleParts: idleParts
  ) { source throws(ModelFileError) in
    try CLIPTextEncoder(source).configuration.facts(epsilon: source.value(epsilon, in: 0...1))
  }

  static let headDimension = Setting(
    "clip_head_dimension", metadata: "clip.head_dimension", published: 64)
  static let epsilon = Setting(
    "clip_epsilon", metadata: "clip.layer_norm_epsilon",
    otherMetadataKeys: ["clip.text.attention.layer_norm_epsilon"], config: "layer_norm_eps",
    published: 1e-5)
  /// What follows the encoder in models that compare texts with pictures.
  static let idleParts = ["text_projection."]

  private static let roles =
    [
      RoleRule(
        "text_model.embeddings.token_embedding.weight", .embedding, group: "text.tokens",
        content: .table(standardDeviation: 0.02)),
      RoleRule(
        "text_model.embeddings.position_embedding.weight", .table,
        content: .table(standardDeviation: 0.02)),
    ]
    + ["layer_norm1", "layer_norm2"].map {
      RoleRule("text_model.encoder.layers.{i}.\($0).weight", .vector, content: .constant(1))
    }
    + [
      RoleRule("text_model.final_layer_norm.weight", .vector, content: .constant(1)),
      RoleRule("**.bias", .vector, content: .constant(0)),
      layerRule("self_attn.q_proj", .matrix, group: "text.attention"),
      layerRule("self_attn.k_proj", .matrix, group: "text.attention"),
      layerRule("self_attn.v_proj", .value, group: "text.attention"),
      layerRule("self_attn.out_proj", .output, group: "text.attention"),
      layerRule("mlp.fc1", .matrix, group: "text.up"),
      layerRule("mlp.fc2", .textDown, group: "text.down"),
      RoleRule("**", .sensitive),
    ]

  private static func layerRule(_ name: String, _ role: TensorRole, group: String) -> RoleRule {
    RoleRule("text_model.encoder.layers.{i}.\(name).weight", role, group: group)
  }
}

/// Names of CLIP's text encoders: Hugging Face's (ours), and those that transformers has in memory
/// from version 5 on.
enum CLIPNames {
  static let tokenTable = "embeddings.token_embedding.weight"
  static let positionTable = "embeddings.position_embedding.weight"

  static let tables = [
    NameTable(scheme: "Hugging Face", canonical: names),
    NameTable(
      scheme: "transformers 5",
      rules: names.map {
        NameRule($0, $0.hasPrefix("text_model.") ? String($0.dropFirst("text_model.".count)) : $0)
      }),
  ]

  private static let names =
    ["embeddings.token_embedding.weight", "embeddings.position_embedding.weight"]
    .map { "text_model.\($0)" }
    + [
      "layer_norm1", "layer_norm2", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
      "self_attn.out_proj", "mlp.fc1", "mlp.fc2",
    ].flatMap { module in
      ["weight", "bias"].map { "text_model.encoder.layers.{i}.\(module).\($0)" }
    }
    + ["weight", "bias"].map { "text_model.final_layer_norm.\($0)" }
    + ["text_projection.weight"]
}

extension CLIPTextEncoder.Configuration {
  /// An encoder of given sizes, with what all published ones have.
  package init(
    width: Int, layerCount: Int, feedForwardWidth: Int, vocabularySize: Int, positionCount: Int = 77
  ) {
    self.init(
      vocabularySize: vocabularySize, width: width, layerCount: layerCount,
      headDimension: min(width, Int(CLIPTextEncoder.headDimension.published)),
      feedForwardWidth: feedForwardWidth, positionCount: positionCount,
      epsilon: Float(CLIPTextEncoder.epsilon.published))
  }

  /// What files say about the encoder.
  ///
  /// - Parameter epsilon: added to variances, as precise as it was written; nil for the published
  ///   one.
  /// - Returns: settings and configuration.
  package func facts(epsilon: Double? = nil) -> NetworkFacts {
    let epsilon = epsilon ?? CLIPTextEncoder.epsilon.published
    return NetworkFacts(
      settings: [
        SettingValue(CLIPTextEncoder.headDimension, headDimension),
        SettingValue(CLIPTextEncoder.epsilon, epsilon),
      ], vocabularySize: vocabularySize
    ) { context in members(context, epsilon: epsilon) }
  }

  private func members(
    _ context: ConfigurationContext, epsilon: Double
  ) -> [JSONValue.Member] {
    let json: JSONValue = [
      "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
      "hidden_act": "quick_gelu", "hidden_size": .integer(width),
      "intermediate_size": .integer(feedForwardWidth), "layer_norm_eps": .double(epsilon),
      "max_position_embeddings": .integer(positionCount),
      "num_attention_heads": .integer(width / headDimension),
      "num_hidden_layers": .integer(layerCount), "projection_dim": .integer(width),
      "torch_dtype": PipelineDescription.dataType(context.type),
      "vocab_size": .integer(vocabularySize), "bos_token_id": .integer(vocabularySize - 2),
      "eos_token_id": .integer(vocabularySize - 1), "pad_token_id": .integer(vocabularySize - 1),
    ]
    // An input's own tokenizer says which tokens these are. transformers takes the state of the
    // first end token, which is another one than the published in a vocabulary of other size.
    let ofInput = context.isSynthetic ? [] : ["bos_token_id", "eos_token_id", "pad_token_id"]
    let end = context.endID.map { [JSONValue.Member(key: "eos_token_id", value: .integer($0))] }
    return (json.members ?? []).filter { !ofInput.contains($0.key) } + (end ?? [])
  }
}
