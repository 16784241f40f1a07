import Checkpoints

/// Names of T5 text encoders: llama.cpp's (ours) and Hugging Face's.
///
/// Source: llama.cpp `gguf-py/gguf/tensor_mapping.py` (`MODEL_ARCH.T5ENCODER`).
enum T5Names {
  /// Ends of the names that the table of tokens has in files.
  static let tokenTables = ["shared.weight", "embed_tokens.weight", "token_embd.weight"]
  /// Ends of the names of all tables of which rows are looked up.
  static let lookupTables =
    tokenTables + ["attn_rel_b.weight", "relative_attention_bias.weight"]

  static let tables = [
    NameTable(scheme: "llama.cpp", canonical: pairs.map(\.0)),
    NameTable(
      scheme: "Hugging Face",
      rules: pairs.map { NameRule($0.0, $0.1) } + [
        // The embedding under its second name; files hold either or both.
        NameRule("token_embd.weight", "encoder.embed_tokens.weight")
      ]),
  ]

  private static let pairs: [(String, String)] =
    [
      ("token_embd.weight", "shared.weight"),
      ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
    ]
    + [
      ("attn_norm", "layer.0.layer_norm"),
      ("attn_q", "layer.0.SelfAttention.q"), ("attn_k", "layer.0.SelfAttention.k"),
      ("attn_v", "layer.0.SelfAttention.v"), ("attn_o", "layer.0.SelfAttention.o"),
      ("attn_rel_b", "layer.0.SelfAttention.relative_attention_bias"),
      ("ffn_norm", "layer.1.layer_norm"),
      ("ffn_gate", "layer.1.DenseReluDense.wi_0"), ("ffn_up", "layer.1.DenseReluDense.wi_1"),
      ("ffn_down", "layer.1.DenseReluDense.wo"),
    ].map { ("enc.blk.{i}.\($0.0).weight", "encoder.block.{i}.\($0.1).weight") }
}
