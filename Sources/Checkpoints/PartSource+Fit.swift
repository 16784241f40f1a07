import ModelFiles

/// Checks that parts belong to one model.
extension PartSource {
  /// Refuses a text encoder whose output the denoiser does not take.
  ///
  /// - Parameters:
  ///   - width: features that the encoder outputs.
  ///   - expected: features that the denoiser takes.
  ///   - tensor: our name of the denoiser's tensor that tells.
  ///   - denoiser: the denoiser.
  /// - Throws: `ModelFileError` naming both.
  package func expectOutputs(
    _ width: Int, taken expected: Int, by tensor: String, of denoiser: PartSource
  ) throws(ModelFileError) {
    guard width != expected else { return }
    throw weights.malformed(
      "the \(slot.name) outputs \(width) features, the \(denoiser.slot.name)'s tensor "
        + "'\(denoiser.weights.storedName(tensor))' expects \(expected): they belong to different "
        + "models")
  }

  /// Refuses a decoder of other latents than the denoiser makes.
  ///
  /// - Parameters:
  ///   - channels: channels that the decoder takes.
  ///   - made: channels that the denoiser makes.
  ///   - denoiser: the denoiser.
  /// - Throws: `ModelFileError` naming both.
  package func expectLatents(
    _ channels: Int, made: Int, by denoiser: PartSource
  ) throws(ModelFileError) {
    guard channels != made else { return }
    throw weights.malformed(
      "the \(slot.name) decodes \(channels) latent channels, the \(denoiser.slot.name) makes "
        + "\(made): they belong to different models")
  }

  /// Refuses a text encoder that has no row for some id of its tokenizer.
  ///
  /// - Parameters:
  ///   - largestID: of the tokenizer.
  ///   - tokenizer: where it was found.
  ///   - table: our name of the table of tokens.
  ///   - count: its rows.
  /// - Throws: `ModelFileError` naming both.
  package func expectRows(
    upTo largestID: Int32, of tokenizer: TokenizerSource, in table: String, count: Int
  ) throws(ModelFileError) {
    guard Int(largestID) >= count else { return }
    throw weights.unfit(
      table,
      expected: "at least \(largestID + 1) rows for the ids of the tokenizer \(tokenizer.path): a "
        + "row is missing, or they belong to different models")
  }
}
