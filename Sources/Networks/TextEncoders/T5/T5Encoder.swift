import Checkpoints
import Compute
import Foundation
import ModelFiles

/// The encoder of a T5 or UMT5 text model: token ids to embeddings. Scores are not scaled.
///
/// T5's first layer has a relative position bias that counts in all of them; UMT5's layers have one
/// each.
///
/// - SeeAlso: transformers `models/t5/modeling_t5.py` and `models/umt5/modeling_umt5.py`, version
///   5.24.
package struct T5Encoder: Sendable {
  /// The sizes of an encoder, read off its tensors.
  package struct Configuration: Equatable, Sendable {
    package let vocabularySize: Int
    package let width: Int
    package let layerCount: Int
    package let headCount: Int
    package let headDimension: Int
    package let feedForwardWidth: Int
    /// Whether the first layer's position bias counts in all layers.
    package let sharesPositionBias: Bool
    package let bucketCount: Int
    package let maxDistance: Int
    package let epsilon: Float
  }

  private struct Layer: Sendable {
    let attentionNorm: [Float]
    let q, k, v, o: WeightMatrix
    /// `[buckets, heads]`; nil where the first layer's counts.
    let relativeBias: [Float]?
    let feedForwardNorm: [Float]
    let gate, up, down: WeightMatrix

    /// All matrices in the order of use.
    var weights: [WeightMatrix] { [q, k, v, o, gate, up, down] }
  }

  package let configuration: Configuration
  private let embedding: WeightMatrix
  private let layers: [Layer]
  private let outputNorm: [Float]
  /// What prompts read beside some rows of the embedding.
  package let layerWeights: WeightStream

  /// Opens the weights; nothing is read yet but small vectors.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, Configuration(source))
  }

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
  ///   superfluous.
  package init(
    _ weights: any WeightSource, _ sizes: Configuration
  ) throws(ModelFileError) {
    configuration = sizes
    embedding = try weights.matrix(
      "token_embd.weight", rows: sizes.vocabularySize, columns: sizes.width)
    var layers: [Layer] = []
    for index in 0..<sizes.layerCount {
      layers.append(try Self.layer(index, weights, sizes))
    }
    self.layers = layers
    layerWeights = WeightStream(layers.map(\.weights))
    outputNorm = try weights.vector("enc.output_norm.weight", count: sizes.width)
    try weights.expectNothingElse()
  }

  /// Encodes prompts. All of them pass through a layer before the next one's weights are read.
  ///
  /// - Parameters:
  ///   - prompts: token ids of each, every one below the vocabulary size. There is no mask: what
  ///     a model masks is left out.
  ///   - device: where to compute.
  /// - Returns: `[tokens, width]` for each prompt.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  /// - Precondition: all ids are in the vocabulary.
  package func callAsFunction(
    _ prompts: [[Int32]], on device: any ComputeDevice
  ) throws(ComputeError) -> [Matrix] {
    let states = try prompts.map { ids throws(ComputeError) in
      let x = try device.matrix(rows: ids.count, columns: configuration.width)
      try device.gather(ids.map { Int($0)..<Int($0) + 1 }, of: embedding, into: x)
      return x
    }
    var biases: [Matrix] = []
    for (index, layer) in layers.enumerated() {
      if let table = layer.relativeBias {
        biases.removeAll()
        for x in states { biases.append(try distanceBias(table, tokens: x.rows, on: device)) }
      }
      try device.holding(layerWeights, layer: index) { () throws(ComputeError) in
        for (x, bias) in zip(states, biases) where x.rows > 0 {
          try attend(x, layer, bias, on: device)
          try feedForward(x, layer, on: device)
        }
      }
    }
    for x in states {
      try device.store(normalized(x, outputNorm), into: x)
    }
    return states
  }

  // MARK: Layers

  private func attend(
    _ x: Matrix, _ layer: Layer, _ bias: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) {
    let inner = configuration.headCount * configuration.headDimension
    let q = try device.matrix(rows: x.rows, columns: inner)
    let k = try device.matrix(rows: x.rows, columns: inner)
    let v = try device.matrix(rows: x.rows, columns: inner)
    let result = try device.matrix(rows: x.rows, columns: inner)
    try device.multiply(
      normalized(x, layer.attentionNorm),
      by: [Product(layer.q, into: q), Product(layer.k, into: k), Product(layer.v, into: v)])
    try device.attend(
      Attention(
        q, k, v, sequences: [AttentionSequence(ranges: [0..<x.rows])],
        headDimension: configuration.headDimension, scale: 1, distanceBias: bias), into: result)
    try addProduct(ProductInput(result), layer.o, to: x, on: device)
  }

  private func feedForward(_ x: Matrix, _ layer: Layer, on device: any ComputeDevice)
    throws(ComputeError)
  {
    let gate = try device.matrix(rows: x.rows, columns: configuration.feedForwardWidth)
    let up = try device.matrix(rows: x.rows, columns: configuration.feedForwardWidth)
    try device.multiply(
      normalized(x, layer.feedForwardNorm),
      by: [Product(layer.gate, into: gate), Product(layer.up, into: up)])
    try addProduct(.gated(.geluTanh, gate, times: up), layer.down, to: x, on: device)
  }

  private func normalized(_ x: Matrix, _ weight: [Float]) -> ProductInput {
    .rootMeanSquare(x, weight: weight, epsilon: configuration.epsilon)
  }

  /// `x += input · weightᵀ`.
  private func addProduct(
    _ input: ProductInput, _ weight: WeightMatrix, to x: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) {
    let result = try device.matrix(rows: x.rows, columns: x.columns)
    try device.multiply(input, by: [Product(weight, into: result)])
    try device.add(result, to: x)
  }

  /// Learned score offsets `[heads, 2 · tokens − 1]`, by the key's place minus the query's.
  private func distanceBias(
    _ table: [Float], tokens: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let heads = configuration.headCount
    let buckets = (min(0, 1 - tokens)..<max(0, tokens)).map {
      RelativePosition.bucket(
        $0, buckets: configuration.bucketCount, maxDistance: configuration.maxDistance)
    }
    return try device.matrix(
      (0..<heads).flatMap { head in buckets.map { table[$0 * heads + head] } }, rows: heads,
      columns: buckets.count)
  }

  private static func layer(
    _ index: Int, _ weights: any WeightSource, _ sizes: Configuration
  ) throws(ModelFileError) -> Layer {
    let name = "enc.blk.\(index)"
    let inner = sizes.headCount * sizes.headDimension
    func matrix(_ part: String, _ rows: Int, _ columns: Int) throws(ModelFileError)
      -> WeightMatrix
    {
      try weights.matrix("\(name).\(part).weight", rows: rows, columns: columns)
    }
    return Layer(
      attentionNorm: try weights.vector("\(name).attn_norm.weight", count: sizes.width),
      q: try matrix("attn_q", inner, sizes.width),
      k: try matrix("attn_k", inner, sizes.width),
      v: try matrix("attn_v", inner, sizes.width),
      o: try matrix("attn_o", sizes.width, inner),
      relativeBias: index > 0 && sizes.sharesPositionBias
        ? nil
        : try weights.values(
          "\(name).attn_rel_b.weight", rows: sizes.bucketCount, columns: sizes.headCount),
      feedForwardNorm: try weights.vector("\(name).ffn_norm.weight", count: sizes.width),
      gate: try matrix("ffn_gate", sizes.feedForwardWidth, sizes.width),
      up: try matrix("ffn_up", sizes.feedForwardWidth, sizes.width),
      down: try matrix("ffn_down", sizes.width, sizes.feedForwardWidth))
  }
}

/// T5's relative positions: exact nearby, in logarithmic steps farther away.
package enum RelativePosition {
  /// The bucket of a distance, for attention in both directions.
  ///
  /// - Parameters:
  ///   - relative: key position minus query position.
  ///   - buckets: number of buckets, even.
  ///   - maxDistance: distance from which all share the last bucket.
  /// - Returns: a number in `0..<buckets`.
  package static func bucket(_ relative: Int, buckets: Int, maxDistance: Int) -> Int {
    let half = buckets / 2
    let base = relative > 0 ? half : 0
    let distance = abs(relative)
    let exact = half / 2
    if distance < exact { return base + distance }
    // float32, as the reference computes it: the boundaries depend on it.
    let ratio =
      logf(Float(distance) / Float(exact))
      / Float(log(Double(maxDistance) / Double(exact)))
    let steps = ratio * Float(half - exact)
    guard steps.isFinite, steps < Float(half) else { return base + half - 1 }
    return base + min(half - 1, exact + max(0, Int(steps)))
  }
}
