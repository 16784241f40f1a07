import ModelFiles

/// Tensors that lie in a checkpoint but belong to no part of an AuraFlow model.
enum ForeignTensors {
  /// Endings of tensors that tools leave beside the weights.
  private static let harmlessEndings = [
    "logit_scale", "scaled_fp8", "scale_weight", "scale_input", "spiece_model", "position_ids",
    "lm_head.weight",
  ]

  /// Beginnings of what a text-to-image model does not use: T5 decoders, tiny encoders, averaged
  /// copies.
  private static let harmlessBeginnings = [
    "dec.", "decoder.block.", "encoder.layers.", "model_ema.",
  ]

  /// Finds a tensor of no use.
  ///
  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - places: the parts that were found in it.
  /// - Returns: the index of the first one in file order, or nil.
  static func first(in archive: TensorArchive, besides places: [PartLocation]) -> Int? {
    all(in: archive, besides: places).first
  }

  /// Finds every tensor of no use, lazily.
  static func all(
    in archive: TensorArchive, besides places: [PartLocation]
  ) -> some Collection<Int> {
    var isClaimed = [Bool](repeating: false, count: archive.tensors.records.count)
    var textEncoderPrefix = ""
    for place in places {
      for index in ComponentWeights(archive, at: place).claimed { isClaimed[index] = true }
      if place.part == .textEncoder { textEncoderPrefix = place.prefix }
    }
    let (claimed, prefix) = (isClaimed, textEncoderPrefix)
    return archive.tensors.records.indices.lazy.filter { index in
      !claimed[index] && !isHarmless(archive.tensors.records[index].name, textEncoderPrefix: prefix)
    }
  }

  private static func isHarmless(_ name: String, textEncoderPrefix: String) -> Bool {
    let inner =
      !textEncoderPrefix.isEmpty && name.hasPrefix(textEncoderPrefix)
      ? String(name.dropFirst(textEncoderPrefix.count)) : name
    return harmlessEndings.contains { name == $0 || name.hasSuffix("." + $0) }
      || harmlessBeginnings.contains { inner.hasPrefix($0) }
      || inner.hasPrefix("decoder.final_layer_norm.") || inner == "decoder.embed_tokens.weight"
  }
}
