import Checkpoints
import ModelFiles

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

  /// Side of the square position grid, in tokens.
  package var gridSide: Int { Int(Double(positionCount).squareRoot()) }

  /// Reads the sizes.
  ///
  /// - Throws: `ModelFileError` if the tensors describe no transformer that could be run.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    func shape(_ name: String, _ index: Int) -> Int? {
      weights.shape(of: name).flatMap { $0.indices.contains(index) ? $0[index] : nil }
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
    guard let hiddenSize = mostCommon(hidden), let feedForwardWidth = mostCommon(widths),
      let textWidth = shape("cond_seq_linear.weight", 1),
      let registerCount = shape("register_tokens", 0),
      let timeWidth = shape("t_embedder.mlp.0.weight", 1),
      let positionCount = shape("positional_encoding", 0)
    else { throw Self.firstMissing(weights) }
    self.hiddenSize = hiddenSize
    self.feedForwardWidth = feedForwardWidth
    self.textWidth = textWidth
    self.registerCount = registerCount
    self.timeWidth = timeWidth
    self.positionCount = positionCount
    headDimension = try source.integer(.headDimension, in: 1...65_536)
    patchSize = try source.integer(.patchSize, in: 1...16)
    latentChannels = try Self.latentChannels(
      weights, patchSize: patchSize, input: shape("init_x_linear.weight", 1),
      output: shape("final_linear.weight", 0))
    try check(weights)
  }

  private func check(_ weights: ComponentWeights) throws(ModelFileError) {
    guard hiddenSize % headDimension == 0 else {
      throw weights.malformed(
        "hidden size \(hiddenSize) is no multiple of the head dimension \(headDimension): "
          + "set --head-dimension to this model's")
    }
    guard doubleLayerCount + singleLayerCount > 0, timeWidth % 2 == 0, timeWidth > 0 else {
      throw weights.malformed("the transformer has no layers or an odd time embedding")
    }
    guard max(hiddenSize, feedForwardWidth, textWidth) <= 1 << 20, latentChannels <= 1024 else {
      throw weights.malformed("the transformer's sizes are beyond all known models")
    }
  }

  /// Layers by the configuration file where there is one, else by the tensors.
  private static func layerCount(
    _ source: PartSource, prefix: String, configKey: String
  ) throws(ModelFileError) -> Int {
    let found = source.weights.layerCount(prefix)
    guard let stored = source.configuration?.json[configKey]?.integerValue else { return found }
    guard (0...4096).contains(stored) else {
      throw source.weights.malformed("configuration '\(configKey)' is \(stored), expected 0...4096")
    }
    return stored
  }

  private static func latentChannels(
    _ weights: ComponentWeights, patchSize: Int, input: Int?, output: Int?
  ) throws(ModelFileError) -> Int {
    guard let width = output ?? input else { throw firstMissing(weights) }
    let area = patchSize * patchSize
    guard width % area == 0, width > 0 else {
      throw weights.malformed(
        "tensor '\(weights.storedName("final_linear.weight"))' has \(width) rows, expected a "
          + "multiple of the \(area) latent pixels of a patch")
    }
    return width / area
  }

  /// The error for a transformer that lacks one of its first tensors.
  private static func firstMissing(_ weights: ComponentWeights) -> ModelFileError {
    let names = [
      "positional_encoding", "register_tokens", "init_x_linear.weight", "cond_seq_linear.weight",
      "t_embedder.mlp.0.weight", "final_linear.weight",
    ]
    let missing = names.first { !weights.has($0) }
    guard let missing else {
      return weights.malformed("the tensors describe no AuraFlow transformer")
    }
    return weights.malformed(
      "tensor '\(weights.storedName(missing))' is missing: the transformer is incomplete")
  }
}
