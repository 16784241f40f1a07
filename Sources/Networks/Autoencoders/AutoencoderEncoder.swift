import Checkpoints
import Compute
import ModelFiles

/// The encoder of a convolutional autoencoder with KL regularization (`AutoencoderKL`), of any
/// depth and width: its weights in the order of the data.
///
/// - SeeAlso: diffusers `models/autoencoders/vae.py` `Encoder`, commit 58eb52c0.
package struct AutoencoderEncoder: Sendable {
  /// Blocks of one size, and what makes the map smaller behind them.
  struct Level: Sendable {
    let blocks: [AutoencoderDecoder.ResidualBlock]
    let downsample: Convolution?
  }

  let configuration: AutoencoderConfiguration
  package private(set) var weights = WeightStream([])
  let input: Convolution
  /// From the picture to the latents.
  let levels: [Level]
  let middle:
    (
      first: AutoencoderDecoder.ResidualBlock, attention: AutoencoderDecoder.Attention?,
      second: AutoencoderDecoder.ResidualBlock
    )
  let outputNorm: AutoencoderDecoder.Norm
  /// To means and logarithms of variances.
  let output: Convolution
  let quant: Convolution?

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing or misshapen.
  init(
    _ weights: any WeightSource, _ configuration: AutoencoderConfiguration
  ) throws(ModelFileError) {
    var builder = AutoencoderBuilder(weights, configuration)
    self.configuration = configuration
    input = try builder.convolution(
      "encoder.conv_in", from: 3, to: configuration.firstChannels, kernel: 3)
    var levels: [Level] = []
    for (index, channels) in configuration.levels.enumerated() {
      let blocks = try builder.blocks("encoder.down.\(index)", channels)
      let isLast = index == configuration.levels.count - 1
      levels.append(
        Level(
          blocks: blocks,
          downsample: isLast
            ? nil : try builder.downsampling("encoder.down.\(index).downsample.conv")))
    }
    self.levels = levels
    middle = try builder.middle("encoder.mid")
    outputNorm = try builder.norm("encoder.norm_out", channels: builder.channels)
    let parameters = 2 * configuration.latentChannels
    output = try builder.convolution(
      "encoder.conv_out", from: builder.channels, to: parameters, kernel: 3)
    quant =
      configuration.hasQuant
      ? try builder.convolution("quant_conv", from: parameters, to: parameters, kernel: 1) : nil
    self.weights = Self.stream(self)
  }
}
