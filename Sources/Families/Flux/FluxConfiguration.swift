import Checkpoints
import ModelFiles
import Networks

/// The sizes of a FLUX.1 transformer, read off its tensors.
package struct FluxConfiguration: Equatable, Sendable {
  package let hiddenSize: Int
  package let headDimension: Int
  package let doubleLayerCount: Int
  package let singleLayerCount: Int
  /// Width of the text encoder's output.
  package let textWidth: Int
  /// Width of the vector that stands for a whole prompt.
  package let pooledWidth: Int
  package let feedForwardWidth: Int
  package let latentChannels: Int
  /// Width of the sinusoidal embeddings of time and guidance.
  package let timeWidth: Int
  /// Elements of a head that are turned by each axis of a token's position: the first is 0 for all
  /// tokens of one picture, then row and column.
  package let axes: [Int]
  /// Whether the strength of guidance is an input (dev), or none was distilled (schnell).
  package let hasGuidance: Bool

  /// Latent pixels per side of an image token; other sizes do not exist.
  static let patchSize = 2
  /// What a distilled guidance shows by.
  static let guidanceTensor = "guidance_in.in_layer.weight"
  /// All tensors of it, of which one may be missing.
  static let guidanceTensors = ["in_layer", "out_layer"].flatMap { layer in
    ["weight", "bias"].map { "guidance_in.\(layer).\($0)" }
  }

  /// Reads the sizes.
  ///
  /// - Throws: `ModelFileError` if the tensors do not describe a transformer that can be run.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    func shape(_ name: String, _ index: Int) -> Int? {
      let isVector = name.hasSuffix(".bias") || name.hasSuffix(".scale")
      return weights.dimension(name, index, rank: isVector ? 1 : 2)
    }
    doubleLayerCount = try Self.layerCount(source, "double_blocks.", configKey: "num_layers")
    singleLayerCount = try Self.layerCount(source, "single_blocks.", configKey: "num_single_layers")
    let doubles = (0..<doubleLayerCount).map { "double_blocks.\($0)" }
    let singles = (0..<singleLayerCount).map { "single_blocks.\($0)" }
    let norms =
      doubles.map { "\($0).img_attn.norm.query_norm.scale" }
      + singles.map { "\($0).norm.query_norm.scale" }
    let hidden =
      ["img_in.bias", "txt_in.bias", "time_in.out_layer.bias"].map { shape($0, 0) }
      + doubles.map { shape("\($0).img_attn.proj.bias", 0) }
      + singles.map { shape("\($0).linear2.bias", 0) }
    let widths =
      doubles.flatMap {
        [shape("\($0).img_mlp.0.bias", 0), shape("\($0).txt_mlp.0.bias", 0)]
      }
      + singles.map { Self.inner(shape("\($0).linear2.weight", 1), shape("\($0).linear2.bias", 0)) }
    let storedTextWidth = try source.configured("joint_attention_dim", in: 1...1 << 20)
    let storedPooledWidth = try source.configured("pooled_projection_dim", in: 1...1 << 20)
    let storedHead = try source.configured("attention_head_dim", in: 1...65_536)
    let storedHeads = try source.configured("num_attention_heads", in: 1...65_536)
    guard let headDimension = storedHead ?? mostCommon(norms.map { shape($0, 0) }),
      let hiddenSize = storedHeads.map({ $0 * headDimension }) ?? mostCommon(hidden),
      let feedForwardWidth = mostCommon(widths),
      let textWidth = storedTextWidth ?? shape("txt_in.weight", 1),
      let pooledWidth = storedPooledWidth ?? shape("vector_in.in_layer.weight", 1),
      let features = try Self.featureCount(source)
    else { throw Self.firstMissing(weights) }
    self.headDimension = headDimension
    self.hiddenSize = hiddenSize
    self.feedForwardWidth = feedForwardWidth
    self.textWidth = textWidth
    self.pooledWidth = pooledWidth
    timeWidth = shape("time_in.in_layer.weight", 1) ?? 256
    guard features % (Self.patchSize * Self.patchSize) == 0 else {
      throw weights.unfit("img_in.weight", expected: "[hidden, 4 · latent channels]")
    }
    latentChannels = features / (Self.patchSize * Self.patchSize)
    hasGuidance = Self.guidanceTensors.contains(where: weights.has)
    // Merges of dev and schnell may lack it where their configuration is still dev's.
    if hasGuidance {
      try source.requireConfigured("guidance_embeds", tensor: Self.guidanceTensor, found: true)
    }
    axes = try Self.axes(source, headDimension: headDimension)
    try check(weights)
  }

  private func check(_ weights: StoredWeights) throws(ModelFileError) {
    guard hiddenSize % headDimension == 0 else {
      throw weights.malformed(
        "hidden size \(hiddenSize) is not a multiple of the head dimension \(headDimension)")
    }
    guard doubleLayerCount + singleLayerCount > 0, timeWidth % 2 == 0, timeWidth > 0 else {
      throw weights.malformed("the transformer has no layers or a time embedding of odd width")
    }
    let sizes = [
      hiddenSize, feedForwardWidth, textWidth, pooledWidth, timeWidth, latentChannels,
    ]
    guard sizes.allSatisfy({ (1...1 << 20).contains($0) }) else {
      throw weights.malformed("the transformer's sizes are beyond all known models")
    }
  }

  /// Layers by the configuration file where there is one, else by the tensors.
  private static func layerCount(
    _ source: PartSource, _ prefix: String, configKey: String
  ) throws(ModelFileError) -> Int {
    let found = source.weights.layerCount(prefix)
    return try source.configured(configKey, in: 0...4096) ?? found
  }

  /// What a single layer's last matrix reads beside attention's result.
  private static func inner(_ columns: Int?, _ rows: Int?) -> Int? {
    guard let columns, let rows, columns > rows else { return nil }
    return columns - rows
  }

  /// Numbers of a patch, by the configuration file where there is one, else by the tensors.
  private static func featureCount(_ source: PartSource) throws(ModelFileError) -> Int? {
    let weights = source.weights
    let found = [
      weights.dimension("img_in.weight", 1, rank: 2),
      weights.dimension("final_layer.linear.weight", 0, rank: 2),
      weights.dimension("final_layer.linear.bias", 0, rank: 1),
    ]
    return try source.configured("in_channels", in: 1...4096) ?? mostCommon(found)
  }

  /// The axes of positions: tensors tell no more than their sum.
  private static func axes(
    _ source: PartSource, headDimension: Int
  ) throws(ModelFileError) -> [Int] {
    var axes = try source.configuredIntegers("axes_dims_rope", count: 3, in: 0...65_536) ?? []
    if axes.isEmpty {
      for setting in FluxTransformer.axes {
        axes.append(try source.integer(setting, in: 0...65_536))
      }
    }
    guard axes.reduce(0, +) == headDimension, axes.allSatisfy({ $0 % 2 == 0 }) else {
      let fault =
        "the axes of positions \(axes) must be even numbers that add up to the head dimension "
        + "\(headDimension)"
      if let configuration = source.configuration, configuration.json["axes_dims_rope"] != nil {
        throw ModelFileError(
          path: configuration.path, kind: .malformed,
          fault: "'axes_dims_rope' and 'attention_head_dim' do not fit together: \(fault)")
      }
      let keys = FluxTransformer.axes.compactMap(source.metadataKey)
      throw source.weights.malformed(
        keys.isEmpty
          ? "\(fault): its config.json ('axes_dims_rope') is needed beside it"
          : "\(fault): metadata '\(keys.joined(separator: "', '"))' do not fit")
    }
    return axes
  }

  /// The error for a transformer that lacks a tensor from which sizes are read, or has it in a
  /// shape that does not tell them.
  private static func firstMissing(_ weights: StoredWeights) -> ModelFileError {
    let sources = [
      ("img_in.weight", "[hidden, 4 · latent channels]"), ("txt_in.weight", "[hidden, text width]"),
      ("vector_in.in_layer.weight", "[hidden, pooled width]"),
    ]
    for (name, expected) in sources where weights.shape(of: name)?.count != 2 {
      return weights.unfit(name, expected: expected)
    }
    return weights.malformed("the tensors do not describe a FLUX.1 transformer")
  }
}

extension FluxConfiguration {
  /// A transformer of given sizes, with what all published ones have.
  init(
    headCount: Int, axes: [Int], doubleLayerCount: Int, singleLayerCount: Int, textWidth: Int,
    pooledWidth: Int, latentChannels: Int, hasGuidance: Bool
  ) {
    headDimension = axes.reduce(0, +)
    hiddenSize = headCount * headDimension
    self.axes = axes
    self.doubleLayerCount = doubleLayerCount
    self.singleLayerCount = singleLayerCount
    self.textWidth = textWidth
    self.pooledWidth = pooledWidth
    self.latentChannels = latentChannels
    self.hasGuidance = hasGuidance
    feedForwardWidth = 4 * hiddenSize
    timeWidth = 256
  }

  /// Numbers of a token's patch.
  var featureCount: Int { latentChannels * Self.patchSize * Self.patchSize }
}
