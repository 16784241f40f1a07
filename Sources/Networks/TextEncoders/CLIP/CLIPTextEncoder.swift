import Checkpoints
import Compute
import ModelFiles

/// The text encoder of a CLIP model: token ids to hidden states. Each token sees itself and those
/// before it.
///
/// - SeeAlso: transformers `models/clip/modeling_clip.py`, version 5.24.
package struct CLIPTextEncoder: Sendable {
  /// The sizes of an encoder, read off its tensors.
  package struct Configuration: Equatable, Sendable {
    package let vocabularySize: Int
    package let width: Int
    package let layerCount: Int
    package let headDimension: Int
    package let feedForwardWidth: Int
    /// Most tokens of a prompt.
    package let positionCount: Int
    /// Added to variances.
    package let epsilon: Float
  }

  /// A linear layer with its bias.
  private struct Linear: Sendable {
    let weight: WeightMatrix
    let bias: [Float]
  }

  /// Scale and shift behind a normalization.
  private struct Norm: Sendable {
    let weight, bias: [Float]
  }

  private struct Layer: Sendable {
    let attentionNorm: Norm
    let q, k, v, o: Linear
    let feedForwardNorm: Norm
    let up, down: Linear

    /// All matrices in the order of use.
    var weights: [WeightMatrix] { [q, k, v, o, up, down].map(\.weight) }
  }

  package let configuration: Configuration
  private let tokens: WeightMatrix
  private let positions: WeightMatrix
  private let layers: [Layer]
  private let outputNorm: Norm
  /// What prompts read beside some rows of the tables.
  package let layerWeights: WeightStream

  /// Opens the weights; nothing is read yet but small vectors.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, Configuration(source))
  }

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
  ///   superfluous.
  package init(_ weights: any WeightSource, _ sizes: Configuration) throws(ModelFileError) {
    configuration = sizes
    let model = "text_model"
    tokens = try weights.matrix(
      "\(model).embeddings.token_embedding.weight", rows: sizes.vocabularySize,
      columns: sizes.width)
    positions = try weights.matrix(
      "\(model).embeddings.position_embedding.weight", rows: sizes.positionCount,
      columns: sizes.width)
    var layers: [Layer] = []
    for index in 0..<sizes.layerCount {
      layers.append(try Self.layer("\(model).encoder.layers.\(index)", weights, sizes))
    }
    self.layers = layers
    layerWeights = WeightStream(layers.map(\.weights))
    outputNorm = try Self.norm("\(model).final_layer_norm", weights, sizes)
    try weights.expectNothingElse(ignoring: Self.idleParts)
  }

  /// Encodes prompts. All of them pass through a layer before the next one's weights are read.
  ///
  /// - Parameters:
  ///   - prompts: token ids of each, every one below the vocabulary size, at most as many as there
  ///     are positions. What follows a token does not change its states.
  ///   - device: where to compute.
  /// - Returns: the last layer's states after the final normalization, `[tokens, width]` for each
  ///   prompt.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  /// - Precondition: all ids are in the vocabulary.
  package func callAsFunction(
    _ prompts: [[Int32]], on device: any ComputeDevice
  ) throws(ComputeError) -> [Matrix] {
    let states = try prompts.map { ids throws(ComputeError) in try embed(ids, on: device) }
    for (index, layer) in layers.enumerated() {
      try device.holding(layerWeights, layer: index) { () throws(ComputeError) in
        for x in states where x.rows > 0 {
          try attend(x, layer, on: device)
          try feedForward(x, layer, on: device)
        }
      }
    }
    for x in states { try device.store(normalized(x, outputNorm), into: x) }
    return states
  }

  // MARK: Layers

  private func embed(
    _ ids: [Int32], on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let x = try device.matrix(rows: ids.count, columns: configuration.width)
    try device.gather(ids.map { Int($0)..<Int($0) + 1 }, of: tokens, into: x)
    let places = try device.matrix(rows: ids.count, columns: configuration.width)
    try device.gather([0..<ids.count], of: positions, into: places)
    try device.add(places, to: x)
    return x
  }

  private func attend(
    _ x: Matrix, _ layer: Layer, on device: any ComputeDevice
  ) throws(ComputeError) {
    func heads() throws(ComputeError) -> Matrix {
      try device.matrix(rows: x.rows, columns: configuration.width)
    }
    let (q, k, v, result) = (try heads(), try heads(), try heads(), try heads())
    try device.multiply(
      normalized(x, layer.attentionNorm),
      by: [(layer.q, q), (layer.k, k), (layer.v, v)].map {
        Product($0.weight, bias: $0.bias, into: $1)
      })
    try device.attend(
      Attention(
        q, k, v, sequences: [AttentionSequence(ranges: [0..<x.rows])],
        headDimension: configuration.headDimension, isCausal: true,
        scale: 1 / Float(configuration.headDimension).squareRoot()), into: result)
    try addProduct(ProductInput(result), layer.o, to: x, on: device)
  }

  private func feedForward(
    _ x: Matrix, _ layer: Layer, on device: any ComputeDevice
  ) throws(ComputeError) {
    let inner = try device.matrix(rows: x.rows, columns: configuration.feedForwardWidth)
    try device.multiply(
      normalized(x, layer.feedForwardNorm),
      by: [Product(layer.up.weight, bias: layer.up.bias, into: inner)])
    try addProduct(.activated(.geluQuick, inner), layer.down, to: x, on: device)
  }

  private func normalized(_ x: Matrix, _ norm: Norm) -> ProductInput {
    .normalized(x, weight: norm.weight, bias: norm.bias, epsilon: configuration.epsilon)
  }

  /// `x += input · weightᵀ + bias`.
  private func addProduct(
    _ input: ProductInput, _ linear: Linear, to x: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) {
    let result = try device.matrix(rows: x.rows, columns: x.columns)
    try device.multiply(input, by: [Product(linear.weight, bias: linear.bias, into: result)])
    try device.add(result, to: x)
  }

  // MARK: Weights

  private static func layer(
    _ name: String, _ weights: any WeightSource, _ sizes: Configuration
  ) throws(ModelFileError) -> Layer {
    func linear(_ part: String, _ rows: Int, _ columns: Int) throws(ModelFileError) -> Linear {
      Linear(
        weight: try weights.matrix("\(name).\(part).weight", rows: rows, columns: columns),
        bias: try weights.vector("\(name).\(part).bias", count: rows))
    }
    let (width, wide) = (sizes.width, sizes.feedForwardWidth)
    return Layer(
      attentionNorm: try norm("\(name).layer_norm1", weights, sizes),
      q: try linear("self_attn.q_proj", width, width),
      k: try linear("self_attn.k_proj", width, width),
      v: try linear("self_attn.v_proj", width, width),
      o: try linear("self_attn.out_proj", width, width),
      feedForwardNorm: try norm("\(name).layer_norm2", weights, sizes),
      up: try linear("mlp.fc1", wide, width), down: try linear("mlp.fc2", width, wide))
  }

  private static func norm(
    _ name: String, _ weights: any WeightSource, _ sizes: Configuration
  ) throws(ModelFileError) -> Norm {
    Norm(
      weight: try weights.vector("\(name).weight", count: sizes.width),
      bias: try weights.vector("\(name).bias", count: sizes.width))
  }
}
