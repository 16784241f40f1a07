import Checkpoints

/// Names of the FLUX.1 transformer: the original release's (ours) and diffusers', which cuts fused
/// matrices into queries, keys, values and the feed-forward part.
///
/// Sources: Black Forest Labs' `flux/model.py`; diffusers `scripts/convert_flux_to_diffusers.py`,
/// version 0.42.1.
enum FluxNames {
  static let tables = [
    NameTable(scheme: "original", canonical: names),
    NameTable(scheme: "diffusers", rules: rules),
  ]

  /// Names that only adapters have: XLabs' processors of attention, and queries, keys and values of
  /// a single layer as one.
  ///
  /// Sources: diffusers `loaders/lora_conversion_utils.py`, version 0.42.1
  /// (`_convert_xlabs_flux_lora_to_diffusers`); ComfyUI `comfy/lora.py`, commit a125cd84.
  static let adapterTables = [
    NameTable(
      scheme: "XLabs",
      rules: [
        processor("double_blocks.{i}.img_attn.qkv", "qkv_lora1"),
        processor("double_blocks.{i}.txt_attn.qkv", "qkv_lora2"),
        processor("double_blocks.{i}.img_attn.proj", "proj_lora1"),
        processor("double_blocks.{i}.txt_attn.proj", "proj_lora2"),
        processor("single_blocks.{i}.linear2", "proj_lora"),
        NameRule(
          "single_blocks.{i}.linear1.weight", "single_blocks.{i}.processor.qkv_lora.weight",
          .part(0, shares: [3, 4])),
      ]),
    NameTable(
      scheme: "ComfyUI",
      rules: [
        NameRule(
          "single_blocks.{i}.linear1.weight", "single_blocks.{i}.linear1_qkv.weight",
          .part(0, shares: [3, 4]))
      ]),
  ]

  private static func processor(_ ours: String, _ theirs: String) -> NameRule {
    let layers = ours.hasPrefix("double") ? "double_blocks" : "single_blocks"
    return NameRule("\(ours).weight", "\(layers).{i}.processor.\(theirs).weight")
  }

  /// Tensors that transformers of other families do not have, of which every FLUX.1 file has one.
  static let distinguishing = [
    "double_blocks.0.img_attn.norm.key_norm.scale", "single_blocks.0.norm.key_norm.scale",
  ]

  private static let names = rules.reduce(into: [String]()) { names, rule in
    let name = rule.canonical.joined(separator: ".")
    if !names.contains(name) { names.append(name) }
  }

  private static let rules = borders + streams("img", image) + streams("txt", text) + singles

  private static func linear(
    _ original: String, _ diffusers: String, _ rowOrder: NameRule.RowOrder = .asStored
  ) -> [NameRule] {
    ["weight", "bias"].map { NameRule("\(original).\($0)", "\(diffusers).\($0)", rowOrder) }
  }

  /// A linear layer whose rows lie in several tensors, with the shares of each.
  private static func fused(
    _ original: String, _ diffusers: [String], shares: [Int]? = nil
  ) -> [NameRule] {
    ["weight", "bias"].flatMap { end in
      NameRule.parts("\(original).\(end)", diffusers.map { "\($0).\(end)" }, shares: shares)
    }
  }

  private static let borders =
    [
      ("img_in", "x_embedder"), ("txt_in", "context_embedder"),
      ("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
      ("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
      ("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
      ("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
      ("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
      ("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
      ("final_layer.linear", "proj_out"),
    ].flatMap { linear($0.0, $0.1) }
    // diffusers stores scale before shift in the final modulation, the original shift first.
    + linear("final_layer.adaLN_modulation.1", "norm_out.linear", .halvesSwapped)

  private typealias StreamNames = (
    modulation: String, qkv: [String], norms: (String, String), projection: String,
    feedForward: String
  )

  private static let image: StreamNames = (
    "norm1.linear", ["attn.to_q", "attn.to_k", "attn.to_v"], ("attn.norm_q", "attn.norm_k"),
    "attn.to_out.0", "ff"
  )
  private static let text: StreamNames = (
    "norm1_context.linear", ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    ("attn.norm_added_q", "attn.norm_added_k"), "attn.to_add_out", "ff_context"
  )

  private static func streams(_ stream: String, _ names: StreamNames) -> [NameRule] {
    let (ours, theirs) = ("double_blocks.{i}.\(stream)", "transformer_blocks.{i}.")
    return linear("\(ours)_mod.lin", theirs + names.modulation)
      + fused("\(ours)_attn.qkv", names.qkv.map { theirs + $0 })
      + [
        NameRule("\(ours)_attn.norm.query_norm.scale", theirs + names.norms.0 + ".weight"),
        NameRule("\(ours)_attn.norm.key_norm.scale", theirs + names.norms.1 + ".weight"),
      ]
      + linear("\(ours)_attn.proj", theirs + names.projection)
      + linear("\(ours)_mlp.0", theirs + names.feedForward + ".net.0.proj")
      + linear("\(ours)_mlp.2", theirs + names.feedForward + ".net.2")
  }

  private static let singles: [NameRule] = {
    let (ours, theirs) = ("single_blocks.{i}.", "single_transformer_blocks.{i}.")
    return linear(ours + "modulation.lin", theirs + "norm.linear")
      + fused(
        ours + "linear1", ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"].map { theirs + $0 },
        shares: [1, 1, 1, 4])
      + [
        NameRule(ours + "norm.query_norm.scale", theirs + "attn.norm_q.weight"),
        NameRule(ours + "norm.key_norm.scale", theirs + "attn.norm_k.weight"),
      ] + linear(ours + "linear2", theirs + "proj_out")
  }()
}
