import Checkpoints

/// A model whose weights can be made up.
package enum ModelPreset: String, CaseIterable, Sendable {
  case auraFlowV03 = "auraflow-v0.3"
  case auraFlowV02 = "auraflow-v0.2"
  case medium
  case tiny

  /// How pictures are made with the model unless one says otherwise.
  struct Defaults: Sendable {
    /// Pixels per side.
    let side: Int
    let steps: Int
    let maxSequenceLength: Int
    let guidanceScale = 3.5
  }

  var defaults: Defaults {
    switch self {
    case .auraFlowV03, .auraFlowV02: Defaults(side: 1024, steps: 50, maxSequenceLength: 256)
    case .medium: Defaults(side: 512, steps: 20, maxSequenceLength: 256)
    case .tiny: Defaults(side: 128, steps: 4, maxSequenceLength: 64)
    }
  }

  var transformer: TransformerSizes {
    switch self {
    case .auraFlowV03, .auraFlowV02:
      TransformerSizes(
        hiddenSize: 3072, headDimension: 256, doubleLayerCount: 4, singleLayerCount: 32,
        textWidth: textEncoder.width, gridSide: self == .auraFlowV03 ? 96 : 64)
    case .medium:
      TransformerSizes(
        hiddenSize: 1024, headDimension: 256, doubleLayerCount: 2, singleLayerCount: 14,
        textWidth: textEncoder.width, gridSide: 64)
    case .tiny:
      TransformerSizes(
        hiddenSize: 256, headDimension: 256, doubleLayerCount: 1, singleLayerCount: 2,
        textWidth: textEncoder.width, gridSide: 16)
    }
  }

  var textEncoder: TextEncoderSizes {
    switch self {
    case .auraFlowV03, .auraFlowV02:
      TextEncoderSizes(
        width: 2048, layerCount: 24, headCount: 32, feedForwardWidth: 5120, pieceCount: 32_000,
        vocabularySize: 32_128)
    case .medium:
      TextEncoderSizes(
        width: 768, layerCount: 6, headCount: 12, feedForwardWidth: 2048, pieceCount: 32_000,
        vocabularySize: 32_128)
    case .tiny:
      TextEncoderSizes(
        width: 256, layerCount: 2, headCount: 4, feedForwardWidth: 512, pieceCount: 1000,
        vocabularySize: 1024)
    }
  }

  var autoencoder: AutoencoderSizes {
    switch self {
    case .auraFlowV03, .auraFlowV02:
      AutoencoderSizes(channels: [128, 256, 512, 512], blocksPerLevel: 2, normGroups: 32)
    case .medium:
      AutoencoderSizes(channels: [64, 64, 128, 128], blocksPerLevel: 2, normGroups: 32)
    case .tiny:
      AutoencoderSizes(channels: [16, 16, 32, 32], blocksPerLevel: 1, normGroups: 8)
    }
  }

  /// Parameters of one part.
  package func parameterCount(_ part: ModelPart) -> Int {
    tensors.filter { $0.part == part }.reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// All tensors: transformer, text encoder, autoencoder.
  var tensors: [SyntheticTensor] {
    transformer.tensors + textEncoder.tensors + autoencoder.tensors
  }
}
