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
    let (tokenizer, encoder) = (try Tokenizer(tokenizerSource), try T5Encoder(text))
    denoiser = try AuraFlowTransformer(transformer)
    codec = try openLatentCodec(image)
    conditioner = AuraFlowConditioner(
      tokenizer: tokenizer, encoder: encoder, transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    let (sizes, read) = (denoiser.configuration, encoder.configuration)
    try text.expectOutputs(
      read.width, taken: sizes.textWidth, by: "cond_seq_linear.weight", of: transformer)
    try image.expectLatents(codec.latentChannels, made: sizes.latentChannels, by: transformer)
    try text.expectRows(
      upTo: tokenizer.largestID, of: tokenizerSource, in: "token_embd.weight",
      count: read.vocabularySize)
  }

  package func schedule(shift: LevelShift, size: LatentSize) -> any NoiseSchedule {
    FlowMatchSchedule(
      shift: shift.factor(imageTokens: denoiser.rowCounts(size, textTokens: 0).image),
      trainTimesteps: trainTimesteps)
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

extension AuraFlowModel: LayeredModel {}
