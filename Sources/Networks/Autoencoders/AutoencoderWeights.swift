import Checkpoints
import Compute
import ModelFiles

extension AutoencoderDecoder {
  /// Asks for tensors in the order of the data, keeping track of the channels.
  struct Builder {
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
            + "\(groups) groups: set --vae-norm-groups to this model's number")
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
