import Checkpoints
import ModelFiles
import Tensors

/// The decoder of a convolutional autoencoder with KL regularization (`AutoencoderKL`), of any
/// depth and width.
///
/// - SeeAlso: diffusers `models/autoencoders/vae.py` `Decoder`, commit 58eb52c0; the latent
///   diffusion release's `ldm/modules/diffusionmodules/model.py`.
package struct AutoencoderDecoder: LatentDecoder {
  /// Added to variances by every group normalization.
  static let epsilon: Float = 1e-6

  struct Norm: Sendable {
    let weight: [Float]
    let bias: [Float]
  }

  struct ResidualBlock: Sendable {
    let norm1: Norm
    let conv1: Convolution
    let norm2: Norm
    let conv2: Convolution
    /// Changes the channels of the residual, where they differ.
    let shortcut: Convolution?
  }

  struct Attention: Sendable {
    let norm: Norm
    let q, k, v, output: (weight: WeightMatrix, bias: [Float])
  }

  struct Level: Sendable {
    let blocks: [ResidualBlock]
    let upsample: Convolution?
  }

  /// The sizes.
  package let configuration: AutoencoderConfiguration
  package let latentChannels: Int
  package let upscaling: Int
  package let weights: WeightStream
  /// What latents are divided by before decoding.
  package let scalingFactor: Float
  package var latentScale: Float { scalingFactor }
  let groups: Int
  let postQuant: Convolution?
  let input: Convolution
  let middle: (first: ResidualBlock, attention: Attention?, second: ResidualBlock)
  /// From the latent side to the picture.
  let levels: [Level]
  let outputNorm: Norm
  let output: Convolution

  /// Opens the weights.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, AutoencoderConfiguration(source))
  }

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(
    _ weights: any WeightSource, _ configuration: AutoencoderConfiguration
  ) throws(ModelFileError) {
    var builder = AutoencoderBuilder(weights, configuration)
    self.configuration = configuration
    groups = configuration.groups
    scalingFactor = Float(configuration.scalingFactor)
    latentChannels = configuration.latentChannels
    postQuant =
      configuration.hasPostQuant
      ? try builder.convolution(
        "post_quant_conv", from: latentChannels, to: latentChannels, kernel: 1) : nil
    input = try builder.convolution(
      "decoder.conv_in", from: latentChannels, to: builder.channels, kernel: 3)
    middle = try builder.middle("decoder.mid")
    var levels: [Level] = []
    for (index, channels) in configuration.levels.enumerated().reversed() {
      let blocks = try builder.blocks("decoder.up.\(index)", channels)
      levels.append(
        Level(
          blocks: blocks,
          upsample: index > 0
            ? try builder.resampling("decoder.up.\(index).upsample.conv") : nil))
    }
    self.levels = levels
    upscaling = 1 << (levels.count - 1)
    outputNorm = try builder.norm("decoder.norm_out", channels: builder.channels)
    output = try builder.convolution(
      "decoder.conv_out", from: builder.channels, to: 3, kernel: 3)
    self.weights = Self.stream(
      [postQuant, input].compactMap { $0 }, middle, levels, output: output)
    try weights.expectNothingElse(ignoring: Self.idleParts)
  }

  /// All matrices in about the order of use.
  private static func stream(
    _ inputs: [Convolution],
    _ middle: (first: ResidualBlock, attention: Attention?, second: ResidualBlock),
    _ levels: [Level], output: Convolution
  ) -> WeightStream {
    func weights(_ block: ResidualBlock) -> [WeightMatrix] {
      [block.conv1, block.conv2, block.shortcut].compactMap { $0?.weight }
    }
    let attention = middle.attention.map {
      [$0.q.weight, $0.k.weight, $0.v.weight, $0.output.weight]
    }
    var matrices = inputs.map(\.weight) + weights(middle.first)
    matrices += (attention ?? []) + weights(middle.second)
    for level in levels {
      matrices += level.blocks.flatMap(weights)
      if let upsample = level.upsample { matrices.append(upsample.weight) }
    }
    return WeightStream((matrices + [output.weight]).map { [$0] })
  }

  package func callAsFunction(
    _ latents: ImagePlanes, memory: Int?, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    let scaled = try ImagePlanes(
      channels: latents.channels, height: latents.height, width: latents.width)
    for channel in 0..<latents.channels {
      for pixel in 0..<latents.planes.columns {
        scaled.planes.row(channel)[pixel] = latents.planes.row(channel)[pixel] / scalingFactor
      }
    }
    return try decode(scaled, memory: memory, on: pool)
  }

  /// Decodes latents in the autoencoder's own scale.
  package func decode(
    _ z: ImagePlanes, memory: Int? = nil, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    let plan = DecodingPlan(self, height: z.height, width: z.width, memory: memory)
    return try BandedDecoding(decoder: self, plan: plan, pool: pool)(z)
  }

  package func activationBytes(height: Int, width: Int, memory: Int?) -> Int {
    DecodingPlan(self, height: height, width: width, memory: memory).peakBytes
  }
}
