import Checkpoints

/// Names of image autoencoders: the latent diffusion release's (ours) and diffusers', and the two
/// namings of tiny autoencoders.
///
/// diffusers counts decoder levels from the latent side, the original from the picture.
/// Source: diffusers `loaders/single_file_utils.py`, commit 58eb52c0.
enum AutoencoderNames {
  static let tables = [
    NameTable(scheme: "LDM", canonical: pairs.map(\.original)),
    NameTable(
      scheme: "diffusers",
      rules: pairs.map { NameRule($0.original, $0.diffusers) } + formerAttentionRules),
  ]

  /// Tiny decoders: numbered layers, from 1 in the original (0 is a clamp) and from 0 in diffusers,
  /// whose files have the encoder too.
  static let tinyTables = [
    NameTable(scheme: "TAESD", canonical: tinyLayers),
    NameTable(
      scheme: "diffusers tiny",
      rules: tinyLayers.map {
        NameRule($0, "decoder.layers." + $0.replacing("{i}", with: "{i-1}"))
      } + tinyLayers.map { NameRule("encoder." + $0, "encoder.layers." + $0) }),
  ]

  private static let tinyLayers =
    ["{i}.weight", "{i}.bias"]
    + [0, 2, 4].flatMap { ["{i}.conv.\($0).weight", "{i}.conv.\($0).bias"] }

  private static let pairs = modules.flatMap { module in
    ["weight", "bias"].map {
      (original: "\(module.0).\($0)", diffusers: "\(module.1).\($0)")
    }
  }

  private static let modules: [(String, String)] = {
    var modules = [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    for half in ["encoder", "decoder"] {
      modules += [
        ("\(half).conv_in", "\(half).conv_in"), ("\(half).conv_out", "\(half).conv_out"),
        ("\(half).norm_out", "\(half).conv_norm_out"),
      ]
      modules += resnet("\(half).mid.block_1", "\(half).mid_block.resnets.0")
      modules += resnet("\(half).mid.block_2", "\(half).mid_block.resnets.1")
      modules += attention.map {
        ("\(half).mid.attn_1.\($0)", "\(half).mid_block.attentions.0.\($1)")
      }
    }
    modules += resnet("encoder.down.{i}.block.{j}", "encoder.down_blocks.{i}.resnets.{j}")
    modules += resnet("decoder.up.{i}.block.{j}", "decoder.up_blocks.{-i}.resnets.{j}")
    modules += [
      ("encoder.down.{i}.downsample.conv", "encoder.down_blocks.{i}.downsamplers.0.conv"),
      ("decoder.up.{i}.upsample.conv", "decoder.up_blocks.{-i}.upsamplers.0.conv"),
    ]
    return modules
  }()

  private static let attention = [
    ("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0"),
  ]

  /// What diffusers called the projections before version 0.18.
  private static let formerAttentionRules = ["encoder", "decoder"].flatMap { half in
    [("q", "query"), ("k", "key"), ("v", "value"), ("proj_out", "proj_attn")].flatMap { pair in
      ["weight", "bias"].map {
        NameRule(
          "\(half).mid.attn_1.\(pair.0).\($0)", "\(half).mid_block.attentions.0.\(pair.1).\($0)")
      }
    }
  }

  private static func resnet(_ original: String, _ diffusers: String) -> [(String, String)] {
    [
      ("norm1", "norm1"), ("conv1", "conv1"), ("norm2", "norm2"), ("conv2", "conv2"),
      ("nin_shortcut", "conv_shortcut"),
    ].map { ("\(original).\($0.0)", "\(diffusers).\($0.1)") }
  }
}
