import Checkpoints
import ModelFiles
import StrictJSON

extension AutoencoderDecoder {
  /// What is known of autoencoders with KL regularization as data.
  package static let description = NetworkDescription(
    id: "AutoencoderKL", library: .diffusers, className: "AutoencoderKL", architecture: "vae",
    tables: AutoencoderNames.tables, roles: roles, settings: [normGroups, scale, shift],
    idleParts: idleParts,
    open: { source throws(ModelFileError) in
      try AutoencoderDecoder(source).configuration.facts
    },
    checkIdleParts: { source throws(ModelFileError) in
      guard let configuration = try AutoencoderConfiguration.ofEncoder(source) else { return }
      _ = try AutoencoderEncoder(source.weights, configuration)
    })

  static let normGroups = Setting(
    "norm_groups", metadata: "vae.norm_groups", config: "norm_num_groups",
    flag: "--vae-norm-groups", published: 32)
  /// What latents are divided by before decoding; families have their own.
  static let scale = Setting(
    "scaling_factor", metadata: "vae.scaling_factor", config: "scaling_factor",
    flag: "--vae-scaling-factor", published: 1)
  /// What is added to latents after that; families have their own.
  static let shift = Setting(
    "shift_factor", metadata: "vae.shift_factor", config: "shift_factor", published: 0)
  /// The half that makes latents of pictures.
  static let idleParts = ["encoder.", "quant_conv."]

  private static let roles =
    ["norm", "norm1", "norm2", "norm_out"].map {
      RoleRule("**.\($0).weight", .sensitive, content: .constant(1))
    } + [RoleRule("**.bias", .sensitive, content: .constant(0))]
    + ["encoder", "decoder"].flatMap { half in
      ["q", "k", "v", "proj_out"].map {
        RoleRule("\(half).mid.attn_1.\($0).weight", .sensitive, shape: .pointwise)
      }
    } + [RoleRule("**", .sensitive)]
}

extension AutoencoderConfiguration {
  /// What files say about the autoencoder.
  package var facts: NetworkFacts {
    NetworkFacts(
      settings: [
        SettingValue(AutoencoderDecoder.normGroups, groups),
        SettingValue(AutoencoderDecoder.scale, scalingFactor),
      ] + (shiftFactor == 0 ? [] : [SettingValue(AutoencoderDecoder.shift, shiftFactor)])
    ) { context in members(context) }
  }

  private func members(_ context: ConfigurationContext) -> [JSONValue.Member] {
    let channels = levels.compactMap(\.first)
    func kinds(_ name: String) -> JSONValue { .array(channels.map { _ in .string(name) }) }
    let json: JSONValue = [
      "_class_name": "AutoencoderKL", "act_fn": "silu",
      "block_out_channels": .array(channels.map { .integer($0) }),
      "down_block_types": kinds("DownEncoderBlock2D"), "force_upcast": true, "in_channels": 3,
      "latent_channels": .integer(latentChannels),
      "layers_per_block": .integer(max(1, (levels.first?.count ?? 0) - 1)),
      "mid_block_add_attention": .bool(hasAttention),
      "norm_num_groups": .integer(groups), "out_channels": 3,
      "sample_size": context.pictureSide.map { .integer($0) } ?? .null,
      "scaling_factor": .double(scalingFactor), "up_block_types": kinds("UpDecoderBlock2D"),
      "use_post_quant_conv": .bool(hasPostQuant), "use_quant_conv": .bool(hasQuant),
    ]
    // Of a synthetic one the class's own defaults are true; of others the size of its training
    // pictures is unknown.
    let left =
      context.isSynthetic
      ? ["mid_block_add_attention"]
        + (hasQuant ? ["use_post_quant_conv", "use_quant_conv"] : []) : ["sample_size"]
    let shift: [JSONValue.Member] =
      shiftFactor == 0 ? [] : [.init(key: "shift_factor", value: .double(shiftFactor))]
    return (json.members ?? []).filter { !left.contains($0.key) } + shift
  }
}

extension AutoencoderDecoder {
  /// Asks for the tensors of both halves, in the order of files.
  ///
  /// - Parameters:
  ///   - configuration: the decoder's sizes; the encoder's follow from them.
  ///   - weights: what records the requests.
  /// - Throws: `ModelFileError` for sizes that do not fit together.
  package static func request(
    _ configuration: AutoencoderConfiguration, from weights: any WeightSource
  ) throws(ModelFileError) {
    _ = try AutoencoderEncoder(weights, configuration.encoder)
    _ = try AutoencoderDecoder(weights, configuration)
  }
}
