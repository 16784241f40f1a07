import Checkpoints
import ModelFiles

/// The sizes of one half of an autoencoder.
package struct AutoencoderConfiguration: Equatable, Sendable {
  /// Channels of the latents.
  package let latentChannels: Int
  /// Groups of the group normalizations.
  package let groups: Int
  /// What the autoencoder's own latents are multiplied by.
  package let scalingFactor: Double
  /// What is taken from them before.
  package let shiftFactor: Double
  /// Channels behind the first convolution.
  let firstChannels: Int
  /// Channels behind each of the two blocks in the middle.
  let middleChannels: [Int]
  /// Channels behind each block of a level, from the picture's side.
  let levels: [[Int]]
  let hasAttention: Bool
  /// Whether there is a convolution between latents and decoder.
  let hasPostQuant: Bool
  /// Whether there is a convolution between encoder and latents.
  let hasQuant: Bool

  private init(
    latentChannels: Int, groups: Int, scalingFactor: Double, shiftFactor: Double,
    firstChannels: Int, middleChannels: [Int], levels: [[Int]], hasAttention: Bool = true,
    hasPostQuant: Bool = true,
    hasQuant: Bool = true
  ) {
    self.latentChannels = latentChannels
    self.groups = groups
    self.scalingFactor = scalingFactor
    self.shiftFactor = shiftFactor
    self.firstChannels = firstChannels
    self.middleChannels = middleChannels
    self.levels = levels
    self.hasAttention = hasAttention
    self.hasPostQuant = hasPostQuant
    self.hasQuant = hasQuant
  }

  /// The decoder of an autoencoder as published ones are.
  ///
  /// - Parameters:
  ///   - channels: of the levels, from the picture's side.
  ///   - blocksPerLevel: of the encoder; the decoder has one more.
  ///   - latentChannels: channels of the latents.
  ///   - groups: groups of the normalizations.
  ///   - scalingFactor: what latents are multiplied by.
  ///   - shiftFactor: what is taken from them before.
  ///   - hasQuant: whether there are convolutions between latents and both halves.
  package init(
    channels: [Int], blocksPerLevel: Int, latentChannels: Int, groups: Int, scalingFactor: Double,
    shiftFactor: Double = 0, hasQuant: Bool = true
  ) {
    let last = channels.last ?? 0
    self.init(
      latentChannels: latentChannels, groups: groups, scalingFactor: scalingFactor,
      shiftFactor: shiftFactor, firstChannels: last, middleChannels: [last, last],
      levels: channels.map { Array(repeating: $0, count: blocksPerLevel + 1) },
      hasPostQuant: hasQuant, hasQuant: hasQuant)
  }

  /// The encoder that belongs to such a decoder.
  package var encoder: AutoencoderConfiguration {
    AutoencoderConfiguration(
      latentChannels: latentChannels, groups: groups, scalingFactor: scalingFactor,
      shiftFactor: shiftFactor, firstChannels: levels.first?.first ?? 0,
      middleChannels: middleChannels,
      levels: levels.map { Array($0.dropLast()) }, hasAttention: hasAttention,
      hasPostQuant: hasPostQuant, hasQuant: hasQuant)
  }

  // MARK: Files

  /// Reads the sizes of a decoder.
  ///
  /// - Throws: `ModelFileError` if tensors or configuration do not describe a usable decoder.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    try source.requireConfigured("act_fn", only: "silu")
    let groups = try source.integer(AutoencoderDecoder.normGroups, in: 1...4096)
    let storedChannels = try source.configured("latent_channels", in: 1...1024)
    let half = try HalfReader(weights, half: "decoder", levels: "up")
    func shape(_ name: String, _ index: Int) -> Int? {
      weights.dimension(name, index, rank: name.contains("conv_in.weight") ? 4 : 1)
    }
    guard let channels = half.firstChannels(innermost: true),
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
    var place = channels
    let middle = half.middle(&place)
    var levels: [[Int]] = []
    for index in (0..<half.levelCount).reversed() {
      levels.insert(half.level(index, &place), at: 0)
    }
    let hasPostQuant = weights.hasModule("post_quant_conv")
    try source.requireConfigured(
      "use_post_quant_conv", tensor: "post_quant_conv.weight", found: hasPostQuant)
    self.init(
      latentChannels: latentChannels, groups: groups,
      scalingFactor: try source.value(AutoencoderDecoder.scale, in: 1e-6...1e6),
      shiftFactor: try source.value(AutoencoderDecoder.shift, in: -1e6...1e6),
      firstChannels: channels, middleChannels: middle, levels: levels,
      hasAttention: half.hasAttention, hasPostQuant: hasPostQuant,
      hasQuant: weights.hasModule("quant_conv"))
  }

  /// Reads the sizes of the encoder in a file; nil if it has none.
  ///
  /// - Throws: `ModelFileError` if tensors or configuration do not describe a usable autoencoder.
  static func ofEncoder(
    _ source: PartSource
  ) throws(ModelFileError) -> AutoencoderConfiguration? {
    let weights = source.weights
    guard weights.hasModule("encoder.conv_in") || weights.layerCount("encoder.down.") > 0 else {
      return nil
    }
    let decoder = try AutoencoderConfiguration(source)
    let half = try HalfReader(weights, half: "encoder", levels: "down")
    guard let channels = half.firstChannels(innermost: false), (1...65_536).contains(channels)
    else { throw weights.unfit("encoder.conv_in.weight", expected: "[channels, 3, 3, 3]") }
    var place = channels
    let levels = (0..<half.levelCount).map { half.level($0, &place) }
    return AutoencoderConfiguration(
      latentChannels: decoder.latentChannels, groups: decoder.groups,
      scalingFactor: decoder.scalingFactor, shiftFactor: decoder.shiftFactor,
      firstChannels: channels,
      middleChannels: half.middle(&place), levels: levels, hasAttention: half.hasAttention,
      hasPostQuant: decoder.hasPostQuant, hasQuant: decoder.hasQuant)
  }
}

extension StoredWeights {
  /// Whether the file has a weight or bias of a module.
  fileprivate func hasModule(_ name: String) -> Bool {
    has("\(name).weight") || has("\(name).bias")
  }
}

/// Reads sizes off the tensors of one half of an autoencoder. One of them may be damaged: each size
/// is what most tensors say.
private struct HalfReader {
  let weights: StoredWeights
  /// `encoder` or `decoder`.
  let half: String
  /// Where its levels are: `encoder.down` or `decoder.up`.
  let stack: String
  let levelCount: Int
  private let blocksPerLevel: Int

  init(_ weights: StoredWeights, half: String, levels: String) throws(ModelFileError) {
    self.weights = weights
    self.half = half
    let stack = "\(half).\(levels)"
    self.stack = stack
    levelCount = weights.layerCount("\(stack).")
    guard (1...8).contains(levelCount) else {
      throw weights.malformed(
        "the VAE's \(half) has \(levelCount) levels of blocks, expected 1...8: "
          + "it is incomplete or of another architecture")
    }
    // Levels have equally many blocks; the smallest count would hide a missing one.
    blocksPerLevel =
      (0..<levelCount).map { weights.layerCount("\(stack).\($0).block.") }.max() ?? 0
  }

  /// Channels behind the first convolution; the middle of a decoder comes right after it.
  func firstChannels(innermost: Bool) -> Int? {
    let first = innermost ? "\(half).mid.block_1" : "\(stack).0.block.0"
    let vectors =
      innermost
      ? ["\(first).conv1.bias", "\(first).norm1.weight", "\(half).mid.block_2.conv2.bias"]
      : ["\(first).norm1.weight", "\(first).norm1.bias"]
    return mostCommon(
      [weights.dimension("\(half).conv_in.bias", 0, rank: 1)]
        + vectors.map { weights.dimension($0, 0, rank: 1) }
        + [weights.dimension("\(half).conv_in.weight", 0, rank: 4)])
  }

  var hasAttention: Bool {
    ["norm", "q", "k", "v", "proj_out"].contains {
      weights.has("\(half).mid.attn_1.\($0).weight")
    }
  }

  /// Channels behind the blocks of the middle.
  func middle(_ channels: inout Int) -> [Int] {
    [1, 2].map { block("\(half).mid.block_\($0)", &channels) }
  }

  /// Channels behind the blocks of a level.
  func level(_ index: Int, _ channels: inout Int) -> [Int] {
    (0..<blocksPerLevel).map { block("\(stack).\(index).block.\($0)", &channels) }
  }

  private func block(_ name: String, _ channels: inout Int) -> Int {
    channels =
      mostCommon([
        weights.dimension("\(name).conv1.bias", 0, rank: 1),
        weights.dimension("\(name).norm2.weight", 0, rank: 1),
        weights.dimension("\(name).conv2.bias", 0, rank: 1),
      ]) ?? channels
    return channels
  }
}
