import Checkpoints
import Diffusion
import ModelFiles
import Networks
import Tokenizers

/// An AuraFlow model: Pile-T5-XL, the transformer, SDXL's autoencoder or a tiny one, and the
/// flow-matching schedule with Euler steps.
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
    let (text, transformer, image) = (
      try sources.part(AuraFlow.textEncoder), try sources.part(AuraFlow.transformer),
      try sources.part(AuraFlow.autoencoder)
    )
    let tokenizerSource = try sources.tokenizer(of: AuraFlow.textEncoder)
    let tokenizer = try Tokenizer(tokenizerSource)
    let encoder = try T5Encoder(text)
    denoiser = try AuraFlowTransformer(transformer)
    codec = try openLatentCodec(image)
    conditioner = AuraFlowConditioner(
      tokenizer: tokenizer, encoder: encoder, transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    try checkFit(text, transformer, image, tokenizerPath: tokenizerSource.path)
  }

  package func schedule(shift: LevelShift, size: LatentSize) -> any NoiseSchedule {
    FlowMatchSchedule(
      shift: shift.fixed ?? AuraFlow.shift, trainTimesteps: trainTimesteps)
  }

  package var sampler: any Sampler { EulerSampler() }

  private func checkFit(
    _ text: PartSource, _ transformer: PartSource, _ image: PartSource, tokenizerPath: String
  ) throws(ModelFileError) {
    let sizes = denoiser.configuration
    let encoder = conditioner.encoder.configuration
    guard encoder.width == sizes.textWidth else {
      throw text.weights.malformed(
        "the text encoder outputs \(encoder.width) features, the transformer's "
          + "tensor '\(transformer.weights.storedName("cond_seq_linear.weight"))' expects "
          + "\(sizes.textWidth): they belong to different models")
    }
    guard codec.latentChannels == sizes.latentChannels else {
      throw image.weights.malformed(
        "the VAE decodes \(codec.latentChannels) latent channels, the transformer makes "
          + "\(sizes.latentChannels): they belong to different models")
    }
    let largestID = Int(conditioner.tokenizer.largestID)
    guard largestID < encoder.vocabularySize else {
      throw text.weights.unfit(
        "token_embd.weight",
        expected: "at least \(largestID + 1) rows for the ids of the tokenizer "
          + "\(tokenizerPath): a row is missing, or they belong to different models")
    }
  }
}

extension AuraFlow: ModelFamily {
  package static func open(
    _ sources: ModelSources, trainTimesteps: Int
  ) throws(ModelFileError) -> any DiffusionModel {
    try AuraFlowModel(sources, trainTimesteps: trainTimesteps)
  }

  package static func openDenoiser(
    _ source: PartSource
  ) throws(ModelFileError) -> any Denoiser {
    try AuraFlowTransformer(source)
  }
}
