import Checkpoints

/// Names of the AuraFlow transformer: the original release's (ours) and diffusers'.
///
/// `w1` is the context stream and `w2` the image stream of a double layer; in a single layer `w1`
/// is everything. Sources: ComfyUI `comfy/ldm/aura/mmdit.py`, commit a125cd84; diffusers
/// `scripts/convert_aura_flow_to_diffusers.py`, commit 58eb52c0.
enum AuraFlowNames {
  static let tables = [
    NameTable(scheme: "original", canonical: pairs.map(\.original)),
    NameTable(scheme: "diffusers", rules: diffusersRules),
  ]

  /// Tensors that transformers of other families do not have, of which every AuraFlow file has one.
  static let distinguishing = [
    "register_tokens", "positional_encoding", "init_x_linear.weight",
    "double_layers.0.mlpX.c_fc1.weight", "single_layers.0.mlp.c_fc1.weight",
  ]

  private static let diffusersRules = pairs.map { pair in
    // diffusers stores scale before shift in the final modulation, the original shift first.
    NameRule(
      pair.original, pair.diffusers,
      pair.original == "modF.1.weight" ? .halvesSwapped : .asStored)
  }

  private static let pairs: [(original: String, diffusers: String)] =
    [
      ("positional_encoding", "pos_embed.pos_embed"),
      ("register_tokens", "register_tokens"),
      ("init_x_linear.weight", "pos_embed.proj.weight"),
      ("init_x_linear.bias", "pos_embed.proj.bias"),
      ("t_embedder.mlp.0.weight", "time_step_proj.linear_1.weight"),
      ("t_embedder.mlp.0.bias", "time_step_proj.linear_1.bias"),
      ("t_embedder.mlp.2.weight", "time_step_proj.linear_2.weight"),
      ("t_embedder.mlp.2.bias", "time_step_proj.linear_2.bias"),
      ("cond_seq_linear.weight", "context_embedder.weight"),
      ("final_linear.weight", "proj_out.weight"),
      ("modF.1.weight", "norm_out.linear.weight"),
    ] + doubleLayers + singleLayers

  private static let doubleLayers = [
    ("attn.w1q", "attn.add_q_proj"), ("attn.w1k", "attn.add_k_proj"),
    ("attn.w1v", "attn.add_v_proj"), ("attn.w1o", "attn.to_add_out"),
    ("attn.w2q", "attn.to_q"), ("attn.w2k", "attn.to_k"), ("attn.w2v", "attn.to_v"),
    ("attn.w2o", "attn.to_out.0"),
    ("mlpX.c_fc1", "ff.linear_1"), ("mlpX.c_fc2", "ff.linear_2"),
    ("mlpX.c_proj", "ff.out_projection"),
    ("mlpC.c_fc1", "ff_context.linear_1"), ("mlpC.c_fc2", "ff_context.linear_2"),
    ("mlpC.c_proj", "ff_context.out_projection"),
    ("modX.1", "norm1.linear"), ("modC.1", "norm1_context.linear"),
  ].map { ("double_layers.{i}.\($0.0).weight", "joint_transformer_blocks.{i}.\($0.1).weight") }

  private static let singleLayers = [
    ("attn.w1q", "attn.to_q"), ("attn.w1k", "attn.to_k"), ("attn.w1v", "attn.to_v"),
    ("attn.w1o", "attn.to_out.0"),
    ("mlp.c_fc1", "ff.linear_1"), ("mlp.c_fc2", "ff.linear_2"),
    ("mlp.c_proj", "ff.out_projection"),
    ("modCX.1", "norm1.linear"),
  ].map { ("single_layers.{i}.\($0.0).weight", "single_transformer_blocks.{i}.\($0.1).weight") }
}
