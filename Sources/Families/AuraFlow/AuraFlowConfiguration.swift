import Checkpoints
import ModelFiles
import Networks

/// The sizes of an AuraFlow transformer, read off its tensors.
package struct AuraFlowConfiguration: Equatable, Sendable {
  package let hiddenSize: Int
  package let headDimension: Int
  package let doubleLayerCount: Int
  package let singleLayerCount: Int
  /// Width of the text encoder's output.
  package let textWidth: Int
  package let feedForwardWidth: Int
  /// Learned tokens in front of the text.
  package let registerCount: Int
  /// Latent pixels per side of an image token.
  package let patchSize: Int
  package let latentChannels: Int
  /// Width of the sinusoidal time embedding.
  package let timeWidth: Int
  /// Entries of the position table.
  package let positionCount: Int

  /// Time embedding of all published models; also diffusers' constant.
  static let publishedTimeWidth = 256

  /// Register tokens of all published models; also diffusers' constant.
  static let publishedRegisterCount = 8

  /// Side of the square position grid, in tokens.
  package var gridSide: Int { Int(Double(positionCount).squareRoot()) }

  /// Reads the sizes.
  ///
  /// - Throws: `ModelFileError` if the tensors do not describe a transformer that can be run.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    func shape(_ name: String, _ index: Int) -> Int? {
      weights.dimension(name, index, rank: name.hasSuffix(".bias") ? 1 : 2)
    }
    doubleLayerCount = try Self.layerCount(
      source, prefix: "double_layers.", configKey: "num_mmdit_layers")
    singleLayerCount = try Self.layerCount(
      source, prefix: "single_layers.", configKey: "num_single_dit_layers")
    let attention =
      (0..<doubleLayerCount).map { "double_layers.\($0).attn.w2q.weight" }
      + (0..<singleLayerCount).map { "single_layers.\($0).attn.w1q.weight" }
    let hidden =
      [
        shape("positional_encoding", 1), shape("register_tokens", 1),
        shape("init_x_linear.bias", 0), shape("t_embedder.mlp.2.weight", 0),
        shape("t_embedder.mlp.2.weight", 1), shape("cond_seq_linear.weight", 0),
        shape("final_linear.weight", 1), shape("modF.1.weight", 1),
      ] + attention.map { shape($0, 0) }
    let gates =
      (0..<doubleLayerCount).flatMap {
        ["double_layers.\($0).mlpX", "double_layers.\($0).mlpC"]
      } + (0..<singleLayerCount).map { "single_layers.\($0).mlp" }
    let widths = gates.flatMap {
      [
        shape("\($0).c_fc1.weight", 0), shape("\($0).c_fc2.weight", 0),
        shape("\($0).c_proj.weight", 1),
      ]
    }
    headDimension = try source.integer(AuraFlowTransformer.headDimension, in: 1...65_536)
    let heads = try source.configured("num_attention_heads", in: 1...65_536)
    let storedTextWidth = try source.configured("joint_attention_dim", in: 1...1 << 20)
    let storedPositions = try source.configured("pos_embed_max_size", in: 1...1 << 24)
    guard
      let hiddenSize = heads.map({ [headDimension] in $0 * headDimension }) ?? mostCommon(hidden),
      let feedForwardWidth = mostCommon(widths),
      let textWidth = storedTextWidth ?? shape("cond_seq_linear.weight", 1),
      let positionCount = storedPositions ?? shape("positional_encoding", 0)
    else { throw Self.firstMissing(weights) }
    self.hiddenSize = hiddenSize
    self.feedForwardWidth = feedForwardWidth
    self.textWidth = textWidth
    registerCount = Self.publishedRegisterCount
    timeWidth = shape("t_embedder.mlp.0.weight", 1) ?? Self.publishedTimeWidth
    self.positionCount = positionCount
    patchSize = try source.integer(AuraFlowTransformer.patchSize, in: 1...16)
    latentChannels = try Self.latentChannels(
      source, patchSize: patchSize,
      widths: [shape("init_x_linear.weight", 1), shape("final_linear.weight", 0)])
    try check(weights)
  }

  private func check(_ weights: StoredWeights) throws(ModelFileError) {
    guard hiddenSize % headDimension == 0 else {
      throw weights.malformed(
        "hidden size \(hiddenSize) is not a multiple of the head dimension \(headDimension): "
          + "set --head-dimension to this model's number")
    }
    guard gridSide * gridSide == positionCount else {
      guard weights.dimension("positional_encoding", 0, rank: 2) == positionCount else {
        throw weights.malformed(
          "'pos_embed_max_size' \(positionCount) of its configuration is not a square number")
      }
      throw weights.unfit(
        "positional_encoding", expected: "[positions of a square grid, \(hiddenSize)]")
    }
    guard doubleLayerCount + singleLayerCount > 0, timeWidth % 2 == 0, timeWidth > 0 else {
      throw weights.malformed("the transformer has no layers or a time embedding of odd width")
    }
    guard max(hiddenSize, feedForwardWidth, textWidth) <= 1 << 20 else {
      throw weights.malformed("the transformer's sizes are beyond all known models")
    }
  }

  /// Layers by the configuration file where there is one, else by the tensors.
  private static func layerCount(
    _ source: PartSource, prefix: String, configKey: String
  ) throws(ModelFileError) -> Int {
    let found = source.weights.layerCount(prefix)
    return try source.configured(configKey, in: 0...4096) ?? found
  }

  private static func latentChannels(
    _ source: PartSource, patchSize: Int, widths: [Int?]
  ) throws(ModelFileError) -> Int {
    let area = patchSize * patchSize
    let stored = try source.configured("in_channels", in: 1...1024)
    let candidates = widths.map { width in
      width.flatMap { $0 > 0 && $0 % area == 0 ? $0 / area : nil }
    }
    guard let channels = stored ?? mostCommon(candidates) else {
      throw firstMissing(source.weights)
    }
    guard (1...1024).contains(channels) else {
      throw source.weights.malformed("\(channels) latent channels, expected 1...1024")
    }
    return channels
  }

  /// The error for a transformer that lacks a tensor from which sizes are read, or has it in a
  /// shape that does not tell them.
  private static func firstMissing(_ weights: StoredWeights) -> ModelFileError {
    let sources = [
      ("positional_encoding", "[positions, hidden]"), ("register_tokens", "[registers, hidden]"),
      ("cond_seq_linear.weight", "[hidden, text width]"),
      ("init_x_linear.weight", "[hidden, patch]"), ("final_linear.weight", "[patch, hidden]"),
    ]
    for (name, expected) in sources where weights.shape(of: name)?.count != 2 {
      return weights.unfit(name, expected: expected)
    }
    return weights.malformed("the tensors do not describe an AuraFlow transformer")
  }
}
