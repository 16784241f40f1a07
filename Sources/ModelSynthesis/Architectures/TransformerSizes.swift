import Checkpoints

/// The sizes of an AuraFlow transformer.
struct TransformerSizes: Sendable {
  let hiddenSize: Int
  let headDimension: Int
  let doubleLayerCount: Int
  let singleLayerCount: Int
  let textWidth: Int
  /// Side of the square grid of positions, in image tokens of 16 pixels.
  let gridSide: Int

  /// What all published models have.
  static let registerCount = 8
  static let patchSize = 2
  static let latentChannels = 4
  static let timeWidth = 256

  /// Two thirds of four times the hidden size, up to the next multiple of 256.
  var feedForwardWidth: Int { (8 * hiddenSize / 3 + 255) / 256 * 256 }

  var positionCount: Int { gridSide * gridSide }

  /// All tensors under the original release's names.
  var tensors: [SyntheticTensor] {
    let hidden = hiddenSize
    let patch = Self.patchSize * Self.patchSize * Self.latentChannels
    func small(_ name: String, _ shape: [Int], gain: Float = 1) -> SyntheticTensor {
      .weight(.transformer, name, shape, .sensitive, gain: gain)
    }
    func bias(_ name: String) -> SyntheticTensor { .vector(.transformer, name, hidden, 0) }
    let embeddings: [SyntheticTensor] = [
      .table(
        .transformer, "positional_encoding", [1, positionCount, hidden], .sensitive,
        standardDeviation: 0.1),
      .table(
        .transformer, "register_tokens", [1, Self.registerCount, hidden], .sensitive,
        standardDeviation: 0.02),
      small("init_x_linear.weight", [hidden, patch]), bias("init_x_linear.bias"),
      small("t_embedder.mlp.0.weight", [hidden, Self.timeWidth]), bias("t_embedder.mlp.0.bias"),
      small("t_embedder.mlp.2.weight", [hidden, hidden]), bias("t_embedder.mlp.2.bias"),
      small("cond_seq_linear.weight", [hidden, textWidth]),
    ]
    let doubleLayers = (0..<doubleLayerCount).flatMap { index in
      stream("double_layers.\(index)", attention: "w1", feedForward: "mlpC", modulation: "modC")
        + stream("double_layers.\(index)", attention: "w2", feedForward: "mlpX", modulation: "modX")
    }
    let singleLayers = (0..<singleLayerCount).flatMap { index in
      stream("single_layers.\(index)", attention: "w1", feedForward: "mlp", modulation: "modCX")
    }
    return embeddings + doubleLayers + singleLayers + [
      small("modF.1.weight", [2 * hidden, hidden]), small("final_linear.weight", [patch, hidden]),
    ]
  }

  /// What one stream of tokens passes through in one layer.
  private func stream(
    _ layer: String, attention: String, feedForward: String, modulation: String
  ) -> [SyntheticTensor] {
    let (hidden, wide) = (hiddenSize, feedForwardWidth)
    return ["q", "k", "v", "o"].map {
      .weight(.transformer, "\(layer).attn.\(attention)\($0).weight", [hidden, hidden])
    } + [
      .weight(.transformer, "\(layer).\(feedForward).c_fc1.weight", [wide, hidden]),
      .weight(.transformer, "\(layer).\(feedForward).c_fc2.weight", [wide, hidden]),
      .weight(.transformer, "\(layer).\(feedForward).c_proj.weight", [hidden, wide]),
      .weight(.transformer, "\(layer).\(modulation).1.weight", [6 * hidden, hidden]),
    ]
  }
}
