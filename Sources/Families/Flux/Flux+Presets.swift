import Checkpoints
import ModelFiles
import Networks

extension Flux {
  /// Models of the family that can be synthesized with random weights.
  static let presets = [
    preset(
      "flux-dev", published(hasGuidance: true), publishedTextEncoder, publishedPooledEncoder,
      publishedAutoencoder, dev(side: 1024)),
    preset(
      "flux-schnell", published(hasGuidance: false), publishedTextEncoder, publishedPooledEncoder,
      publishedAutoencoder, schnell(side: 1024)),
    preset(
      "tiny-flux",
      FluxConfiguration(
        headCount: 2, axes: [16, 56, 56], doubleLayerCount: 1, singleLayerCount: 2, textWidth: 256,
        pooledWidth: 256, latentChannels: 16, hasGuidance: true),
      T5Encoder.Configuration(
        width: 256, layerCount: 2, headCount: 4, feedForwardWidth: 512, vocabularySize: 1024,
        sharesPositionBias: true),
      CLIPTextEncoder.Configuration(
        width: 256, layerCount: 2, feedForwardWidth: 512, vocabularySize: 1024),
      autoencoder(channels: [16, 16, 32, 32], blocksPerLevel: 1, groups: 8),
      dev(side: 128, steps: 4, maxSequenceLength: 64), pieceCount: 1000),
  ]

  private static func published(hasGuidance: Bool) -> FluxConfiguration {
    FluxConfiguration(
      headCount: 24, axes: [16, 56, 56], doubleLayerCount: 19, singleLayerCount: 38,
      textWidth: publishedTextEncoder.width, pooledWidth: publishedPooledEncoder.width,
      latentChannels: 16, hasGuidance: hasGuidance)
  }

  private static let publishedTextEncoder = T5Encoder.Configuration(
    width: 4096, layerCount: 24, headCount: 64, feedForwardWidth: 10_240, vocabularySize: 32_128,
    sharesPositionBias: true)

  private static let publishedPooledEncoder = CLIPTextEncoder.Configuration(
    width: 768, layerCount: 12, feedForwardWidth: 3072, vocabularySize: 49_408)

  private static let publishedAutoencoder = autoencoder(
    channels: [128, 256, 512, 512], blocksPerLevel: 2, groups: 32)

  private static func autoencoder(
    channels: [Int], blocksPerLevel: Int, groups: Int
  ) -> AutoencoderConfiguration {
    AutoencoderConfiguration(
      channels: channels, blocksPerLevel: blocksPerLevel, latentChannels: 16, groups: groups,
      scalingFactor: scalingFactor, shiftFactor: shiftFactor, hasQuant: false)
  }

  private static func preset(
    _ name: String, _ transformer: FluxConfiguration, _ text: T5Encoder.Configuration,
    _ pooled: CLIPTextEncoder.Configuration, _ image: AutoencoderConfiguration,
    _ defaults: SamplingDefaults, pieceCount: Int = 32_100
  ) -> ModelPreset {
    ModelPreset(
      name: name, defaults: defaults, pieceCount: pieceCount,
      parts: [
        ModelPreset.Part(Self.transformer, FluxTransformer.description, transformer.facts) {
          weights throws(ModelFileError) in _ = try FluxTransformer(weights, transformer)
        },
        ModelPreset.Part(textEncoder, T5Encoder.description, text.facts()) {
          weights throws(ModelFileError) in _ = try T5Encoder(weights, text)
        },
        ModelPreset.Part(pooledEncoder, CLIPTextEncoder.description, pooled.facts()) {
          weights throws(ModelFileError) in _ = try CLIPTextEncoder(weights, pooled)
        },
        ModelPreset.Part(Self.autoencoder, AutoencoderDecoder.description, image.facts) {
          weights throws(ModelFileError) in try AutoencoderDecoder.request(image, from: weights)
        },
      ])
  }
}
