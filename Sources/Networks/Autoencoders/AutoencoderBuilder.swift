import Checkpoints
import Compute
import ModelFiles

/// Asks for the tensors of an autoencoder in the order of the data, keeping track of the channels.
struct AutoencoderBuilder {
  /// Channels at the place that has been reached.
  private(set) var channels: Int
  private let weights: any WeightSource
  private let configuration: AutoencoderConfiguration

  init(_ weights: any WeightSource, _ configuration: AutoencoderConfiguration) {
    self.weights = weights
    self.configuration = configuration
    channels = configuration.firstChannels
  }

  func convolution(
    _ name: String, from inputs: Int, to outputs: Int, kernel: Int, stride: Int = 1
  ) throws(ModelFileError) -> Convolution {
    // Maps are made smaller with padding on the right and below only.
    Convolution(
      weight: try weights.convolution(
        "\(name).weight", outputs: outputs, inputs: inputs, kernel: kernel),
      bias: try weights.vector("\(name).bias", count: outputs), kernel: kernel, stride: stride,
      start: stride - 1)
  }

  /// The convolution behind an enlargement, which keeps the channels.
  func upsampling(_ name: String) throws(ModelFileError) -> Convolution {
    try convolution(name, from: channels, to: channels, kernel: 3)
  }

  /// The convolution that halves the sides and keeps the channels.
  func downsampling(_ name: String) throws(ModelFileError) -> Convolution {
    try convolution(name, from: channels, to: channels, kernel: 3, stride: 2)
  }

  func norm(_ name: String, channels: Int) throws(ModelFileError) -> AutoencoderDecoder.Norm {
    guard channels % configuration.groups == 0 else {
      throw weights.malformed(
        "'\(weights.storedName("\(name).weight"))' has \(channels) channels, not a multiple of "
          + "\(configuration.groups) groups: set --vae-norm-groups to this model's number")
    }
    return AutoencoderDecoder.Norm(
      weight: try weights.vector("\(name).weight", count: channels),
      bias: try weights.vector("\(name).bias", count: channels))
  }

  private mutating func residualBlock(
    _ name: String, to outputs: Int
  ) throws(ModelFileError) -> AutoencoderDecoder.ResidualBlock {
    let inputs = channels
    channels = outputs
    let hasShortcut = inputs != outputs
    return AutoencoderDecoder.ResidualBlock(
      norm1: try norm("\(name).norm1", channels: inputs),
      conv1: try convolution("\(name).conv1", from: inputs, to: outputs, kernel: 3),
      norm2: try norm("\(name).norm2", channels: outputs),
      conv2: try convolution("\(name).conv2", from: outputs, to: outputs, kernel: 3),
      shortcut: hasShortcut
        ? try convolution("\(name).nin_shortcut", from: inputs, to: outputs, kernel: 1) : nil)
  }

  private func attention(
    _ name: String
  ) throws(ModelFileError) -> AutoencoderDecoder.Attention? {
    guard configuration.hasAttention else { return nil }
    let channels = channels
    func linear(_ part: String) throws(ModelFileError) -> (weight: WeightMatrix, bias: [Float]) {
      (
        try weights.matrix("\(name).\(part).weight", rows: channels, columns: channels),
        try weights.vector("\(name).\(part).bias", count: channels)
      )
    }
    return AutoencoderDecoder.Attention(
      norm: try norm("\(name).norm", channels: channels), q: try linear("q"),
      k: try linear("k"), v: try linear("v"), output: try linear("proj_out"))
  }

  /// The two blocks between both halves, and attention between them.
  mutating func middle(_ name: String) throws(ModelFileError) -> (
    first: AutoencoderDecoder.ResidualBlock, attention: AutoencoderDecoder.Attention?,
    second: AutoencoderDecoder.ResidualBlock
  ) {
    let sizes = configuration.middleChannels
    return (
      try residualBlock("\(name).block_1", to: sizes.first ?? channels),
      try attention("\(name).attn_1"),
      try residualBlock("\(name).block_2", to: sizes.last ?? channels)
    )
  }

  /// The blocks of a level.
  mutating func blocks(
    _ level: String, _ sizes: [Int]
  ) throws(ModelFileError) -> [AutoencoderDecoder.ResidualBlock] {
    var blocks: [AutoencoderDecoder.ResidualBlock] = []
    for (index, size) in sizes.enumerated() {
      blocks.append(try residualBlock("\(level).block.\(index)", to: size))
    }
    return blocks
  }
}
