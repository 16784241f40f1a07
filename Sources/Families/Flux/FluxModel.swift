import Checkpoints
import Diffusion
import ModelFiles
import Networks
import Tokenizers

/// A FLUX.1 model: T5-XXL, CLIP-L, the transformer, its autoencoder or a tiny one, and the
/// flow-matching schedule with Euler steps.
package struct FluxModel: DiffusionModel {
  package let conditioner: FluxConditioner
  package let denoiser: FluxTransformer
  package let codec: any LatentCodec
  /// Factor between noise levels and training times.
  private let trainTimesteps: Int

  /// Opens the parts and checks that they belong to one model.
  ///
  /// - Throws: `ModelFileError` naming the first faulty file.
  package init(_ sources: ModelSources, trainTimesteps: Int) throws(ModelFileError) {
    let (transformer, image) = (
      try sources.part(Flux.transformer), try sources.part(Flux.autoencoder)
    )
    denoiser = try FluxTransformer(transformer)
    codec = try openLatentCodec(image)
    conditioner = FluxConditioner(
      readers: sources.hasTextEncoders
        ? try Self.readers(sources, for: denoiser.configuration, of: transformer) : nil,
      transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    try image.expectLatents(
      codec.latentChannels, made: denoiser.configuration.latentChannels, by: transformer)
  }

  /// Opens what reads texts.
  ///
  /// - Throws: `ModelFileError` naming the first faulty file.
  private static func readers(
    _ sources: ModelSources, for sizes: FluxConfiguration, of transformer: PartSource
  ) throws(ModelFileError) -> FluxConditioner.Readers {
    let (text, pooled) = (
      try sources.part(Flux.textEncoder), try sources.part(Flux.pooledEncoder)
    )
    let (textTokenizer, pooledTokenizer) = (
      try sources.tokenizer(of: Flux.textEncoder), try sources.tokenizer(of: Flux.pooledEncoder)
    )
    let readers = FluxConditioner.Readers(
      textTokenizer: try Tokenizer(textTokenizer), textEncoder: try T5Encoder(text),
      pooledTokenizer: try Tokenizer(pooledTokenizer), clipEncoder: try CLIPTextEncoder(pooled))
    let (read, summed) = (readers.textEncoder.configuration, readers.clipEncoder.configuration)
    try text.expectOutputs(read.width, taken: sizes.textWidth, by: "txt_in.weight", of: transformer)
    try pooled.expectOutputs(
      summed.width, taken: sizes.pooledWidth, by: "vector_in.in_layer.weight", of: transformer)
    try text.expectRows(
      upTo: readers.textTokenizer.largestID, of: textTokenizer, in: "token_embd.weight",
      count: read.vocabularySize)
    try pooled.expectRows(
      upTo: readers.pooledTokenizer.largestID, of: pooledTokenizer,
      in: "text_model.embeddings.token_embedding.weight", count: summed.vocabularySize)
    return readers
  }

  package func schedule(shift: LevelShift, size: LatentSize) -> any NoiseSchedule {
    LinearFlowSchedule(
      shift: shift, imageTokens: denoiser.rowCounts(size, textTokens: 0).image,
      trainTimesteps: trainTimesteps)
  }
}

extension Flux: ModelFamily {
  package static func open(
    _ sources: ModelSources, trainTimesteps: Int
  ) throws(ModelFileError) -> any DiffusionModel {
    try FluxModel(sources, trainTimesteps: trainTimesteps)
  }

  package static func openDenoiser(
    _ source: PartSource
  ) throws(ModelFileError) -> any Denoiser {
    try FluxTransformer(source)
  }
}

extension FluxModel: LayeredModel {}
