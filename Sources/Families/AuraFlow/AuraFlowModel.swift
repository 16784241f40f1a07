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
    let (transformer, image) = (
      try sources.part(AuraFlow.transformer), try sources.part(AuraFlow.autoencoder)
    )
    denoiser = try AuraFlowTransformer(transformer)
    codec = try openLatentCodec(image)
    conditioner = AuraFlowConditioner(
      reader: sources.hasTextEncoders
        ? try Self.reader(sources, for: denoiser.configuration, of: transformer) : nil,
      transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    try image.expectLatents(
      codec.latentChannels, made: denoiser.configuration.latentChannels, by: transformer)
  }

  /// Opens what reads texts.
  ///
  /// - Throws: `ModelFileError` naming the first faulty file.
  private static func reader(
    _ sources: ModelSources, for sizes: AuraFlowConfiguration, of transformer: PartSource
  ) throws(ModelFileError) -> AuraFlowConditioner.Reader {
    let text = try sources.part(AuraFlow.textEncoder)
    let tokenizerSource = try sources.tokenizer(of: AuraFlow.textEncoder)
    let (tokenizer, encoder) = (try Tokenizer(tokenizerSource), try T5Encoder(text))
    let read = encoder.configuration
    try text.expectOutputs(
      read.width, taken: sizes.textWidth, by: "cond_seq_linear.weight", of: transformer)
    try text.expectRows(
      upTo: tokenizer.largestID, of: tokenizerSource, in: "token_embd.weight",
      count: read.vocabularySize)
    return AuraFlowConditioner.Reader(tokenizer: tokenizer, encoder: encoder)
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
