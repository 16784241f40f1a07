import Checkpoints
import Diffusion
import ModelFiles
import Tokenizers

/// An AuraFlow model: Pile-T5-XL, the transformer, SDXL's autoencoder or a tiny one, and the flow-matching
/// schedule with Euler steps.
package struct AuraFlowModel: DiffusionModel {
  package let conditioner: AuraFlowConditioner
  package let denoiser: AuraFlowTransformer
  package let codec: any LatentCodec
  /// Factor between noise levels and training times.
  private let trainTimesteps: Int

  /// Opens the parts and checks that they belong to one model.
  ///
  /// - Throws: `ModelFileError` naming the first faulty file.
  package init(_ sources: ModelSources, trainTimesteps: Int) throws(ModelFileError) {
    let tokenizer = try Tokenizer(sources.tokenizer)
    let encoder = try UMT5Encoder(sources.textEncoder)
    denoiser = try AuraFlowTransformer(sources.transformer)
    codec =
      if TinyDecoder.describes(sources.autoencoder) {
        try TinyDecoder(sources.autoencoder)
      } else {
        try AutoencoderDecoder(sources.autoencoder)
      }
    conditioner = AuraFlowConditioner(
      tokenizer: tokenizer, encoder: encoder, transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    try checkFit(sources)
  }

  package func schedule(shift: Double, size: LatentSize) -> any NoiseSchedule {
    FlowMatchSchedule(shift: shift, trainTimesteps: trainTimesteps)
  }

  package var sampler: any Sampler { EulerSampler() }

  private func checkFit(_ sources: ModelSources) throws(ModelFileError) {
    let sizes = denoiser.configuration
    let text = conditioner.encoder.configuration
    guard text.width == sizes.textWidth else {
      throw sources.textEncoder.weights.malformed(
        "the text encoder gives \(text.width) features, the transformer's "
          + "tensor '\(sources.transformer.weights.storedName("cond_seq_linear.weight"))' expects "
          + "\(sizes.textWidth): they belong to different models")
    }
    guard codec.latentChannels == sizes.latentChannels else {
      throw sources.autoencoder.weights.malformed(
        "the VAE decodes \(codec.latentChannels) latent channels, the transformer makes "
          + "\(sizes.latentChannels): they belong to different models")
    }
    let largestID = Int(conditioner.tokenizer.largestID)
    guard largestID < text.vocabularySize else {
      throw sources.textEncoder.weights.unfit(
        "token_embd.weight",
        expected: "at least \(largestID + 1) rows for the ids of the tokenizer "
          + "\(sources.tokenizer.path): a row is missing, or they belong to different models")
    }
  }
}
