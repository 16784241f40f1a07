/// Tensors that lie in a checkpoint but belong to no part of a model, and do no harm.
enum ForeignTensors {
  /// Endings of tensors that tools leave beside the weights.
  private static let harmlessEndings = [
    "logit_scale", "scaled_fp8", "spiece_model", "position_ids", "lm_head.weight",
  ]

  /// Beginnings of what a text-to-image model does not use: T5 decoders and what follows them, tiny
  /// encoders, averaged copies.
  private static let harmlessBeginnings = [
    "dec.", "decoder.block.", "encoder.layers.", "model_ema.", "lm_head.",
    "decoder.final_layer_norm.",
  ]

  /// Whether a tensor that no part has may be there.
  ///
  /// - Parameters:
  ///   - name: its name.
  ///   - textEncoderPrefix: what stands before the text encoder's names.
  /// - Returns: the answer.
  static func isHarmless(_ name: String, textEncoderPrefix: String) -> Bool {
    let inner =
      !textEncoderPrefix.isEmpty && name.hasPrefix(textEncoderPrefix)
      ? String(name.dropFirst(textEncoderPrefix.count)) : name
    return harmlessEndings.contains { name == $0 || name.hasSuffix("." + $0) }
      || harmlessBeginnings.contains { inner.hasPrefix($0) }
      || inner.hasPrefix("decoder.embed_tokens.")
  }
}
