import Checkpoints
import ModelFiles
import StrictJSON

extension AuraFlowTransformer {
  /// What is known of the transformer as data.
  package static let description = NetworkDescription(
    id: "AuraFlowTransformer", library: .diffusers, className: "AuraFlowTransformer2DModel",
    architecture: "aura", tables: AuraFlowNames.tables,
    distinguishing: AuraFlowNames.distinguishing, roles: roles, convention: .denoiser,
    settings: [headDimension, patchSize]
  ) { source throws(ModelFileError) in try AuraFlowTransformer(source).configuration.facts }

  static let headDimension = Setting(
    "head_dimension", metadata: "attention.key_length", config: "attention_head_dim",
    flag: "--head-dimension", published: 256)
  static let patchSize = Setting(
    "patch_size", metadata: "patch_size", config: "patch_size", published: 2)

  private static let roles =
    [
      RoleRule(
        "positional_encoding", .table, shape: .leadingOne, content: .table(standardDeviation: 0.1)),
      RoleRule(
        "register_tokens", .table, shape: .leadingOne, content: .table(standardDeviation: 0.02)),
    ]
    + [
      ("attn.w1", "mlpC", "modC"), ("attn.w2", "mlpX", "modX"),
    ].flatMap { stream("double_layers", group: "double", $0, splitsStack: false) }
    + stream("single_layers", group: "single", ("attn.w1", "mlp", "modCX"), splitsStack: true)
    + [RoleRule("**.bias", .vector, content: .constant(0)), RoleRule("**", .sensitive)]

  /// What one stream of tokens passes through in a layer.
  private static func stream(
    _ stack: String, group: String,
    _ names: (attention: String, feedForward: String, modulation: String), splitsStack: Bool
  ) -> [RoleRule] {
    func rule(_ name: String, _ role: TensorRole, _ work: String) -> RoleRule {
      RoleRule(
        "\(stack).{i}.\(name).weight", role, group: "\(group).\(work)", splitsStack: splitsStack)
    }
    return [
      rule(names.attention + "q", .matrix, "query-key"),
      rule(names.attention + "k", .matrix, "query-key"),
      rule(names.attention + "v", .value, "value"),
      rule(names.attention + "o", .output, "output"),
      rule(names.feedForward + ".c_fc1", .matrix, "up"),
      rule(names.feedForward + ".c_fc2", .matrix, "up"),
      rule(names.feedForward + ".c_proj", .matrix, "down"),
      rule(names.modulation + ".1", .modulation, "modulation"),
    ]
  }
}

extension AuraFlowConfiguration {
  /// A transformer of given sizes, with what all published ones have; `gridSide` is the side of the
  /// square grid of positions, in tokens.
  init(
    hiddenSize: Int, headDimension: Int, doubleLayerCount: Int, singleLayerCount: Int,
    textWidth: Int, gridSide: Int
  ) {
    self.hiddenSize = hiddenSize
    self.headDimension = headDimension
    self.doubleLayerCount = doubleLayerCount
    self.singleLayerCount = singleLayerCount
    self.textWidth = textWidth
    // Two thirds of four times the hidden size, up to the next multiple of 256.
    feedForwardWidth = (8 * hiddenSize / 3 + 255) / 256 * 256
    registerCount = Self.publishedRegisterCount
    patchSize = Int(AuraFlowTransformer.patchSize.published)
    latentChannels = 4
    timeWidth = Self.publishedTimeWidth
    positionCount = gridSide * gridSide
  }

  /// What files say about the transformer.
  var facts: NetworkFacts {
    NetworkFacts(
      settings: [
        SettingValue(AuraFlowTransformer.headDimension, headDimension),
        SettingValue(AuraFlowTransformer.patchSize, patchSize),
      ]
    ) { context in members(context) }
  }

  private func members(_ context: ConfigurationContext) -> [JSONValue.Member] {
    let side = context.pictureSide.map { $0 / 8 } ?? min(128, gridSide * patchSize)
    let json: JSONValue = [
      "_class_name": "AuraFlowTransformer2DModel", "attention_head_dim": .integer(headDimension),
      "caption_projection_dim": .integer(hiddenSize), "in_channels": .integer(latentChannels),
      "joint_attention_dim": .integer(textWidth),
      "num_attention_heads": .integer(hiddenSize / headDimension),
      "num_mmdit_layers": .integer(doubleLayerCount),
      "num_single_dit_layers": .integer(singleLayerCount),
      "out_channels": .integer(latentChannels), "patch_size": .integer(patchSize),
      "pos_embed_max_size": .integer(positionCount), "sample_size": .integer(side),
    ]
    return json.members ?? []
  }
}
