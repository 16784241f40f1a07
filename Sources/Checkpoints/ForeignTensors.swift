/// Tensors that lie in a checkpoint but belong to no part of a model, and do no harm.
enum ForeignTensors {
  /// Endings of tensors that tools leave beside the weights.
  private static let harmlessEndings = [
    "logit_scale", "scaled_fp8", "spiece_model", "position_ids", "lm_head.weight",
    "text_projection",
  ]

  /// Beginnings of what a text-to-image model does not use: T5 decoders and what follows them,
  /// CLIP's encoders of pictures, tiny encoders, averaged copies.
  private static let harmlessBeginnings = [
    "dec.", "decoder.block.", "encoder.layers.", "model_ema.", "lm_head.",
    "decoder.final_layer_norm.", "loss.", "vision_model.", "visual_projection.",
  ]

  /// Whether a tensor that no part has may be there.
  ///
  /// - Parameters:
  ///   - name: its name.
  ///   - prefixes: what stands before the parts' names.
  /// - Returns: the answer.
  static func isHarmless(_ name: String, prefixes: [String]) -> Bool {
    let prefix = prefixes.filter { name.hasPrefix($0) }.max { $0.utf8.count < $1.utf8.count }
    let inner = String(name.dropFirst(prefix?.count ?? 0))
    return harmlessEndings.contains { name == $0 || name.hasSuffix("." + $0) }
      || harmlessBeginnings.contains { inner.hasPrefix($0) }
      || inner.hasPrefix("decoder.embed_tokens.") || inner == "output.weight"
  }
}
