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
    let (text, pooled) = (
      try sources.part(Flux.textEncoder), try sources.part(Flux.pooledEncoder)
    )
    let (textTokenizer, pooledTokenizer) = (
      try sources.tokenizer(of: Flux.textEncoder), try sources.tokenizer(of: Flux.pooledEncoder)
    )
    let (transformer, image) = (
      try sources.part(Flux.transformer), try sources.part(Flux.autoencoder)
    )
    denoiser = try FluxTransformer(transformer)
    codec = try openLatentCodec(image)
    conditioner = FluxConditioner(
      textTokenizer: try Tokenizer(textTokenizer), textEncoder: try T5Encoder(text),
      pooledTokenizer: try Tokenizer(pooledTokenizer), pooledEncoder: try CLIPTextEncoder(pooled),
      transformer: denoiser)
    self.trainTimesteps = trainTimesteps
    try checkFit(
      text, textTokenizer.path, outputs: conditioner.textEncoder.configuration.width,
      expected: denoiser.configuration.textWidth, by: "txt_in.weight", transformer)
    try checkFit(
      pooled, pooledTokenizer.path, outputs: conditioner.pooledEncoder.configuration.width,
      expected: denoiser.configuration.pooledWidth, by: "vector_in.in_layer.weight", transformer)
    try checkIDs(image, text, textTokenizer.path, pooled, pooledTokenizer.path)
  }

  package func schedule(shift: LevelShift, size: LatentSize) -> any NoiseSchedule {
    let patch = FluxConfiguration.patchSize
    return LinearFlowSchedule(
      shift: shift, imageTokens: size.height / patch * (size.width / patch),
      trainTimesteps: trainTimesteps)
  }

  package var sampler: any Sampler { EulerSampler() }

  private func checkFit(
    _ encoder: PartSource, _ tokenizer: String, outputs: Int, expected: Int, by tensor: String,
    _ transformer: PartSource
  ) throws(ModelFileError) {
    guard outputs == expected else {
      throw encoder.weights.malformed(
        "the \(encoder.slot.name) outputs \(outputs) features, the transformer's tensor "
          + "'\(transformer.weights.storedName(tensor))' expects \(expected): they belong to "
          + "different models")
    }
  }

  private func checkIDs(
    _ image: PartSource, _ text: PartSource, _ textTokenizer: String, _ pooled: PartSource,
    _ pooledTokenizer: String
  ) throws(ModelFileError) {
    guard codec.latentChannels == denoiser.configuration.latentChannels else {
      throw image.weights.malformed(
        "the VAE decodes \(codec.latentChannels) latent channels, the transformer makes "
          + "\(denoiser.configuration.latentChannels): they belong to different models")
    }
    let rows = [
      (
        text, "token_embd.weight", textTokenizer, conditioner.textTokenizer,
        conditioner.textEncoder.configuration.vocabularySize
      ),
      (
        pooled, "text_model.embeddings.token_embedding.weight", pooledTokenizer,
        conditioner.pooledTokenizer, conditioner.pooledEncoder.configuration.vocabularySize
      ),
    ]
    for (part, table, path, tokenizer, count) in rows where Int(tokenizer.largestID) >= count {
      throw part.weights.unfit(
        table,
        expected:
          "at least \(tokenizer.largestID + 1) rows for the ids of the tokenizer \(path): a "
          + "row is missing, or they belong to different models")
    }
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
