import Checkpoints
import ModelFiles
import Networks

extension AuraFlow {
  /// Models of the family that can be synthesized with random weights.
  static let presets = [
    preset(
      "auraflow-v0.3", published(gridSide: 96), publishedTextEncoder, publishedAutoencoder,
      defaults(side: 1024, steps: 50, maxSequenceLength: 256)),
    preset(
      "auraflow-v0.2", published(gridSide: 64), publishedTextEncoder, publishedAutoencoder,
      defaults(side: 1024, steps: 50, maxSequenceLength: 256)),
    preset(
      "medium",
      AuraFlowConfiguration(
        hiddenSize: 1024, headDimension: 256, doubleLayerCount: 2, singleLayerCount: 14,
        textWidth: 768, gridSide: 64),
      T5Encoder.Configuration(
        width: 768, layerCount: 6, headCount: 12, feedForwardWidth: 2048, vocabularySize: 32_128,
        sharesPositionBias: false),
      autoencoder(channels: [64, 64, 128, 128], blocksPerLevel: 2, groups: 32),
      defaults(side: 512, steps: 20, maxSequenceLength: 256)),
    preset(
      "tiny",
      AuraFlowConfiguration(
        hiddenSize: 256, headDimension: 256, doubleLayerCount: 1, singleLayerCount: 2,
        textWidth: 256, gridSide: 16),
      T5Encoder.Configuration(
        width: 256, layerCount: 2, headCount: 4, feedForwardWidth: 512, vocabularySize: 1024,
        sharesPositionBias: false),
      autoencoder(channels: [16, 16, 32, 32], blocksPerLevel: 1, groups: 8),
      defaults(side: 128, steps: 4, maxSequenceLength: 64), pieceCount: 1000),
  ]

  private static func published(gridSide: Int) -> AuraFlowConfiguration {
    AuraFlowConfiguration(
      hiddenSize: 3072, headDimension: 256, doubleLayerCount: 4, singleLayerCount: 32,
      textWidth: publishedTextEncoder.width, gridSide: gridSide)
  }

  private static let publishedTextEncoder = T5Encoder.Configuration(
    width: 2048, layerCount: 24, headCount: 32, feedForwardWidth: 5120, vocabularySize: 32_128,
    sharesPositionBias: false)

  private static let publishedAutoencoder = autoencoder(
    channels: [128, 256, 512, 512], blocksPerLevel: 2, groups: 32)

  private static func autoencoder(
    channels: [Int], blocksPerLevel: Int, groups: Int
  ) -> AutoencoderConfiguration {
    AutoencoderConfiguration(
      channels: channels, blocksPerLevel: blocksPerLevel, latentChannels: 4, groups: groups,
      scalingFactor: scalingFactor)
  }

  private static func preset(
    _ name: String, _ transformer: AuraFlowConfiguration, _ text: T5Encoder.Configuration,
    _ image: AutoencoderConfiguration, _ defaults: SamplingDefaults, pieceCount: Int = 32_000
  ) -> ModelPreset {
    ModelPreset(
      name: name, defaults: defaults, pieceCount: pieceCount,
      parts: [
        ModelPreset.Part(Self.transformer, AuraFlowTransformer.description, transformer.facts) {
          weights throws(ModelFileError) in _ = try AuraFlowTransformer(weights, transformer)
        },
        ModelPreset.Part(textEncoder, T5Encoder.umt5Description, text.facts()) {
          weights throws(ModelFileError) in _ = try T5Encoder(weights, text)
        },
        ModelPreset.Part(Self.autoencoder, AutoencoderDecoder.description, image.facts) {
          weights throws(ModelFileError) in try AutoencoderDecoder.request(image, from: weights)
        },
      ])
  }
}
