import Checkpoints
import ModelFiles
import StrictJSON

extension FluxTransformer {
  /// What is known of the transformer as data.
  package static let description = NetworkDescription(
    id: "FluxTransformer", library: .diffusers, className: "FluxTransformer2DModel",
    architecture: "flux", tables: FluxNames.tables,
    adapterTables: FluxNames.adapterTables, distinguishing: FluxNames.distinguishing,
    roles: roles, convention: .denoiser, settings: axes
  ) { source throws(ModelFileError) in try FluxTransformer(source).configuration.facts }

  /// Elements of a head that each axis of a position turns; `config.json` has them as a list.
  static let axes = zip(0..., [16, 56, 56]).map { axis, published in
    Setting(
      "rotary_axis_\(axis)", metadata: "rope.axis_\(axis)", published: Double(published))
  }

  private static let roles =
    ["img", "txt"].flatMap { stream in
      [
        rule("double_blocks.{i}.\(stream)_attn.qkv", .fusedValue, "double.query-key-value"),
        rule("double_blocks.{i}.\(stream)_attn.proj", .output, "double.output"),
        rule("double_blocks.{i}.\(stream)_mlp.0", .matrix, "double.up"),
        rule("double_blocks.{i}.\(stream)_mlp.2", .matrix, "double.down"),
        rule("double_blocks.{i}.\(stream)_mod.lin", .modulation, "double.modulation"),
      ]
    } + [
      rule("single_blocks.{i}.linear1", .matrix, "single.input", splitsStack: true),
      rule("single_blocks.{i}.linear2", .matrix, "single.output", splitsStack: true),
      rule("single_blocks.{i}.modulation.lin", .modulation, "single.modulation", splitsStack: true),
    ]
    + ["query_norm", "key_norm"].map {
      RoleRule("**.\($0).scale", .vector, content: .constant(1))
    } + [RoleRule("**.bias", .vector, content: .constant(0)), RoleRule("**", .sensitive)]

  private static func rule(
    _ name: String, _ role: TensorRole, _ group: String, splitsStack: Bool = false
  ) -> RoleRule {
    RoleRule("\(name).weight", role, group: group, splitsStack: splitsStack)
  }
}

extension FluxConfiguration {
  /// What files say about the transformer.
  var facts: NetworkFacts {
    NetworkFacts(
      settings: zip(FluxTransformer.axes, axes).map { SettingValue($0, $1) }
    ) { context in members(context) }
  }

  private func members(_ context: ConfigurationContext) -> [JSONValue.Member] {
    let json: JSONValue = [
      "_class_name": "FluxTransformer2DModel", "attention_head_dim": .integer(headDimension),
      "axes_dims_rope": .array(axes.map { .integer($0) }), "guidance_embeds": .bool(hasGuidance),
      "in_channels": .integer(featureCount), "joint_attention_dim": .integer(textWidth),
      "num_attention_heads": .integer(hiddenSize / headDimension),
      "num_layers": .integer(doubleLayerCount), "num_single_layers": .integer(singleLayerCount),
      "out_channels": .null, "patch_size": 1, "pooled_projection_dim": .integer(pooledWidth),
    ]
    return json.members ?? []
  }
}
