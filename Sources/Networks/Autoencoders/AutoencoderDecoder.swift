import Checkpoints
import Compute
import Diffusion
import ModelFiles

/// The decoder of a convolutional autoencoder with KL regularization (`AutoencoderKL`), of any
/// depth and width.
///
/// - SeeAlso: diffusers `models/autoencoders/vae.py` `Decoder`, commit 58eb52c0; the latent
///   diffusion release's `ldm/modules/diffusionmodules/model.py`.
package struct AutoencoderDecoder: StoredLatentCodec {
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
  package let latentScaling: LatentScaling
  let groups: Int
  let postQuant: Convolution?
  let input: Convolution
  let middle: (first: ResidualBlock, attention: Attention?, second: ResidualBlock)
  /// From the latent side to the picture.
  let levels: [Level]
  let outputNorm: Norm
  let output: Convolution
  /// The other half, or what is wrong with it, which matters only to those who need it.
  private var encoder: Result<AutoencoderEncoder?, ModelFileError> = .success(nil)

  /// Opens the weights.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, AutoencoderConfiguration(source))
    let downscaling = upscaling
    encoder = Result { () throws(ModelFileError) in
      try Self.encoder(source, downscaling: downscaling)
    }
  }

  package func openEncoder() throws(ModelFileError) -> (any LatentEncoder)? {
    try encoder.get()
  }

  /// The half that makes latents; nil if the file has none.
  private static func encoder(
    _ source: PartSource, downscaling: Int
  ) throws(ModelFileError) -> AutoencoderEncoder? {
    guard let configuration = try AutoencoderConfiguration.ofEncoder(source) else { return nil }
    let encoder = try AutoencoderEncoder(source.weights, configuration)
    guard encoder.downscaling == downscaling else {
      throw source.weights.malformed(
        "the encoder makes pictures \(encoder.downscaling) times smaller, the decoder makes them "
          + "\(downscaling) times larger")
    }
    return encoder
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
    latentScaling = LatentScaling(
      scale: Float(configuration.scalingFactor), shift: Float(configuration.shiftFactor))
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
            ? try builder.upsampling("decoder.up.\(index).upsample.conv") : nil))
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

  package func decode(
    _ latents: Latents, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> ImagePlanes {
    let (height, width) = (latents.size.height, latents.size.width)
    let z = ImagePlanes(
      planes: try device.matrix(
        latents.values.map(latentScaling.own), rows: latents.channels,
        columns: height * width), height: height, width: width)
    // The latents stay beside everything.
    let held = latents.values.count * MemoryLayout<Float>.stride
    let plan = try BandPlan(
      works(latents.size), groups: groups, within: bytes.map { max(0, $0 - held) }, on: device)
    return try BandedDecoding(self, plan, on: device)(z)
  }

  /// What is computed at each size, from the latents to the picture.
  private func works(_ size: LatentSize) -> [LevelWork] {
    levels.indices.map { index in
      var work = LevelWork(
        height: size.height << index, width: size.width << index,
        entry: index > 0 ? levels[index - 1].upsample : nil,
        blocks: (index > 0 ? [] : [middle.first, middle.second]) + levels[index].blocks)
      if index == 0, let attention = middle.attention {
        work.attention = (attention, middle.first.conv2.outputChannels)
      }
      if index == levels.count - 1 { work.output = (outputNorm, output) }
      return work
    }
  }
}
