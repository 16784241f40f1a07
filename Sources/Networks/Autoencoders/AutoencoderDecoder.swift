import Checkpoints
import ModelFiles
import Tensors

/// Turns latents into a picture.
package protocol LatentDecoder: Sendable {
  /// Channels of the latents.
  var latentChannels: Int { get }
  /// Picture pixels per latent pixel and side.
  var upscaling: Int { get }
  /// What each picture reads.
  var weights: WeightStream { get }

  /// Bytes of activations that a picture needs.
  ///
  /// - Parameters:
  ///   - height: latent rows.
  ///   - width: latent columns.
  ///   - memory: bytes to do with, if possible; nil for the fastest way.
  ///   - pool: threads to compute on.
  func activationBytes(height: Int, width: Int, memory: Int?, on pool: ThreadPool) -> Int

  /// Decodes the latents of one picture.
  ///
  /// - Parameters:
  ///   - latents: `[channels, height · width]`, as the transformer leaves them.
  ///   - memory: bytes that activations may take, if that is possible; nil for the fastest way.
  ///   - pool: threads to compute on.
  /// - Returns: red, green and blue planes in about −1...1.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func callAsFunction(
    _ latents: ImagePlanes, memory: Int?, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes
}

/// The decoder of a convolutional autoencoder with KL regularization (`AutoencoderKL`), of any
/// depth and width.
///
/// - SeeAlso: diffusers `models/autoencoders/vae.py` `Decoder`, commit 58eb52c0; the latent
///   diffusion release's `ldm/modules/diffusionmodules/model.py`.
package struct AutoencoderDecoder: LatentDecoder {
  /// Added to variances by every group normalization.
  private static let epsilon: Float = 1e-6

  private struct Norm: Sendable {
    let weight: [Float]
    let bias: [Float]
  }

  private struct ResidualBlock: Sendable {
    let norm1: Norm
    let conv1: Convolution
    let norm2: Norm
    let conv2: Convolution
    /// Changes the channels of the residual, where they differ.
    let shortcut: Convolution?
  }

  private struct Attention: Sendable {
    let norm: Norm
    let q, k, v, output: (weight: WeightMatrix, bias: [Float])
  }

  private struct Level: Sendable {
    let blocks: [ResidualBlock]
    let upsample: Convolution?
  }

  package let latentChannels: Int
  package let upscaling: Int
  /// What latents are divided by before decoding.
  package let scalingFactor: Float
  private let groups: Int
  private let postQuant: Convolution?
  private let input: Convolution
  private let middle: (first: ResidualBlock, attention: Attention?, second: ResidualBlock)
  /// From the latent side to the picture.
  private let levels: [Level]
  private let outputNorm: Norm
  private let output: Convolution

  /// Opens the weights.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(_ source: PartSource) throws(ModelFileError) {
    var builder = try Builder(source)
    groups = builder.groups
    scalingFactor = Float(try source.value(.scalingFactor, in: 1e-6...1e6))
    latentChannels = builder.latentChannels
    postQuant = try builder.postQuant()
    input = try builder.convolution(
      "decoder.conv_in", from: latentChannels, to: builder.channels, kernel: 3)
    middle = (
      try builder.residualBlock("decoder.mid.block_1"), try builder.attention(),
      try builder.residualBlock("decoder.mid.block_2")
    )
    var levels: [Level] = []
    for index in (0..<builder.levelCount).reversed() {
      levels.append(try builder.level(index))
    }
    self.levels = levels
    upscaling = 1 << (levels.count - 1)
    outputNorm = try builder.norm("decoder.norm_out", channels: builder.channels)
    output = try builder.convolution(
      "decoder.conv_out", from: builder.channels, to: 3, kernel: 3)
    try source.weights.expectNothingElse(ignoring: ["encoder.", "quant_conv."])
  }

  package var weights: WeightStream { WeightStream([]) }

  package func activationBytes(height: Int, width: Int, memory: Int?, on pool: ThreadPool) -> Int {
    0
  }

  package func callAsFunction(
    _ latents: ImagePlanes, memory: Int? = nil, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    let scaled = try ImagePlanes(
      channels: latents.channels, height: latents.height, width: latents.width)
    for channel in 0..<latents.channels {
      for pixel in 0..<latents.planes.columns {
        scaled.planes.row(channel)[pixel] = latents.planes.row(channel)[pixel] / scalingFactor
      }
    }
    return try decode(scaled, on: pool)
  }

  /// Decodes latents in the autoencoder's own scale.
  package func decode(_ z: ImagePlanes, on pool: ThreadPool) throws(ComputeError) -> ImagePlanes {
    var x = try postQuant?(z, on: pool) ?? z
    x = try input(x, on: pool)
    x = try apply(middle.first, to: x, on: pool)
    if let attention = middle.attention { try apply(attention, to: x, on: pool) }
    x = try apply(middle.second, to: x, on: pool)
    for level in levels {
      for block in level.blocks { x = try apply(block, to: x, on: pool) }
      if let upsample = level.upsample { x = try upsample(x, doubled: true, on: pool) }
    }
    try normalize(x, outputNorm, activation: true, into: x, on: pool)
    return try output(x, on: pool)
  }

  // MARK: Layers

  /// `x' + conv2(SiLU(norm2(conv1(SiLU(norm1(x))))))`, where x' has gone through the shortcut.
  private func apply(
    _ block: ResidualBlock, to x: ImagePlanes, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    let normalized = try ImagePlanes(channels: x.channels, height: x.height, width: x.width)
    try normalize(x, block.norm1, activation: true, into: normalized, on: pool)
    let hidden = try block.conv1(normalized, on: pool)
    try normalize(hidden, block.norm2, activation: true, into: hidden, on: pool)
    let result = try block.conv2(hidden, on: pool)
    try add((block.shortcut?(x, on: pool) ?? x).planes, to: result.planes, on: pool)
    return result
  }

  /// Self-attention over all pixels, added to `x`.
  private func apply(
    _ attention: Attention, to x: ImagePlanes, on pool: ThreadPool
  ) throws(ComputeError) {
    let pixels = x.planes.columns
    let normalized = try ImagePlanes(channels: x.channels, height: x.height, width: x.width)
    try normalize(x, attention.norm, activation: false, into: normalized, on: pool)
    let tokens = try Matrix(rows: pixels, columns: x.channels)
    try transpose(normalized.planes, into: tokens, on: pool)
    func project(
      _ layer: (weight: WeightMatrix, bias: [Float]), _ input: Matrix
    ) throws(ComputeError) -> Matrix {
      let result = try Matrix(rows: pixels, columns: x.channels)
      try multiply(input, by: layer.weight, bias: layer.bias, into: result, on: pool)
      return result
    }
    let result = try Matrix(rows: pixels, columns: x.channels)
    try attend(
      try project(attention.q, tokens), try project(attention.k, tokens),
      try project(attention.v, tokens), sequences: [AttentionSequence(ranges: [0..<pixels])],
      headDimension: x.channels, scale: 1 / Float(x.channels).squareRoot(), into: result, on: pool)
    try transpose(try project(attention.output, result), into: normalized.planes, on: pool)
    try add(normalized.planes, to: x.planes, on: pool)
  }

  private func normalize(
    _ x: ImagePlanes, _ norm: Norm, activation: Bool, into result: ImagePlanes,
    on pool: ThreadPool
  ) throws(ComputeError) {
    try groupNormalize(
      x.planes, groups: groups, weight: norm.weight, bias: norm.bias, epsilon: Self.epsilon,
      activation: activation, into: result.planes, on: pool)
  }
}

extension AutoencoderDecoder {
  /// Asks for tensors in the order of the data, keeping track of the channels.
  private struct Builder {
    let weights: ComponentWeights
    let groups: Int
    let levelCount: Int
    let latentChannels: Int
    /// Channels at the place that has been reached.
    var channels: Int
    private let blocksPerLevel: Int

    init(_ source: PartSource) throws(ModelFileError) {
      let weights = source.weights
      self.weights = weights
      try source.requireConfigured("act_fn", only: "silu")
      groups = try source.integer(.normGroups, in: 1...4096)
      let storedChannels = try source.configured("latent_channels", in: 1...1024)
      levelCount = weights.layerCount("decoder.up.")
      guard (1...8).contains(levelCount) else {
        throw weights.malformed(
          "the VAE's decoder has \(levelCount) levels of blocks, expected 1...8: "
            + "it is incomplete or of another architecture")
      }
      let blocks = (0..<levelCount).map { weights.layerCount("decoder.up.\($0).block.") }
      // Levels have equally many blocks; the smallest count would hide a missing one.
      blocksPerLevel = blocks.max() ?? 0
      func shape(_ name: String, _ index: Int) -> Int? {
        weights.dimension(name, index, rank: name.contains("conv_in.weight") ? 4 : 1)
      }
      guard
        let channels = mostCommon([
          shape("decoder.conv_in.bias", 0), shape("decoder.mid.block_1.conv1.bias", 0),
          shape("decoder.mid.block_1.norm1.weight", 0), shape("decoder.mid.block_2.conv2.bias", 0),
          shape("decoder.conv_in.weight", 0),
        ]),
        let latentChannels = storedChannels
          ?? mostCommon([
            shape("decoder.conv_in.weight", 1), shape("post_quant_conv.bias", 0),
            weights.dimension("post_quant_conv.weight", 0, rank: 4),
          ])
      else {
        throw weights.unfit(
          "decoder.conv_in.weight", expected: "[channels, latent channels, 3, 3]")
      }
      guard (1...65_536).contains(channels), (1...1024).contains(latentChannels) else {
        throw weights.malformed("the VAE's sizes are beyond all known models")
      }
      self.channels = channels
      self.latentChannels = latentChannels
    }

    func convolution(
      _ name: String, from inputs: Int, to outputs: Int, kernel: Int
    ) throws(ModelFileError) -> Convolution {
      Convolution(
        weight: try weights.convolution(
          "\(name).weight", outputs: outputs, inputs: inputs, kernel: kernel),
        bias: try weights.vector("\(name).bias", count: outputs), kernel: kernel)
    }

    func postQuant() throws(ModelFileError) -> Convolution? {
      guard weights.has("post_quant_conv.weight") || weights.has("post_quant_conv.bias") else {
        return nil
      }
      return try convolution(
        "post_quant_conv", from: latentChannels, to: latentChannels, kernel: 1)
    }

    func norm(_ name: String, channels: Int) throws(ModelFileError) -> Norm {
      guard channels % groups == 0 else {
        throw weights.malformed(
          "'\(weights.storedName("\(name).weight"))' has \(channels) channels, no multiple of "
            + "\(groups) groups: set --vae-norm-groups to this model's")
      }
      return Norm(
        weight: try weights.vector("\(name).weight", count: channels),
        bias: try weights.vector("\(name).bias", count: channels))
    }

    mutating func residualBlock(_ name: String) throws(ModelFileError) -> ResidualBlock {
      let inputs = channels
      let outputs =
        mostCommon([
          weights.dimension("\(name).conv1.bias", 0, rank: 1),
          weights.dimension("\(name).norm2.weight", 0, rank: 1),
          weights.dimension("\(name).conv2.bias", 0, rank: 1),
        ]) ?? inputs
      channels = outputs
      let hasShortcut = inputs != outputs
      return ResidualBlock(
        norm1: try norm("\(name).norm1", channels: inputs),
        conv1: try convolution("\(name).conv1", from: inputs, to: outputs, kernel: 3),
        norm2: try norm("\(name).norm2", channels: outputs),
        conv2: try convolution("\(name).conv2", from: outputs, to: outputs, kernel: 3),
        shortcut: hasShortcut
          ? try convolution("\(name).nin_shortcut", from: inputs, to: outputs, kernel: 1) : nil)
    }

    func attention() throws(ModelFileError) -> Attention? {
      let name = "decoder.mid.attn_1"
      let parts = ["norm", "q", "k", "v", "proj_out"]
      guard parts.contains(where: { weights.has("\(name).\($0).weight") }) else { return nil }
      let channels = channels
      func linear(_ part: String) throws(ModelFileError) -> (weight: WeightMatrix, bias: [Float]) {
        (
          try weights.matrix("\(name).\(part).weight", rows: channels, columns: channels),
          try weights.vector("\(name).\(part).bias", count: channels)
        )
      }
      return Attention(
        norm: try norm("\(name).norm", channels: channels), q: try linear("q"),
        k: try linear("k"), v: try linear("v"), output: try linear("proj_out"))
    }

    mutating func level(_ index: Int) throws(ModelFileError) -> Level {
      var blocks: [ResidualBlock] = []
      for block in 0..<blocksPerLevel {
        blocks.append(try residualBlock("decoder.up.\(index).block.\(block)"))
      }
      return Level(
        blocks: blocks,
        upsample: index > 0
          ? try convolution(
            "decoder.up.\(index).upsample.conv", from: channels, to: channels, kernel: 3) : nil)
    }
  }
}
