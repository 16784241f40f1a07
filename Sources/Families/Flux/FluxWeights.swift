import Checkpoints
import Compute
import ModelFiles

/// The weights of one FLUX.1 transformer, in the original release's terms.
struct FluxWeights: Sendable {
  /// A linear layer with its bias.
  struct Linear: Sendable {
    /// `[out, in]`.
    let weight: WeightMatrix
    /// `[out]`.
    let bias: [Float]

    /// Some of its outputs.
    func rows(_ range: Range<Int>) -> Linear {
      Linear(weight: weight.rows(range), bias: Array(bias[range]))
    }

    /// All of its outputs.
    func product(into result: Matrix) -> Product { Product(weight, bias: bias, into: result) }
  }

  /// Two linear layers with an activation between them.
  struct Embedder: Sendable {
    let input, output: Linear
  }

  /// What the heads of queries and keys are scaled by after normalization; `[headDimension]`.
  struct HeadNorms: Sendable {
    let query, key: [Float]
  }

  /// What one stream of tokens passes through in a double layer.
  struct Stream: Sendable {
    /// `[6 · hidden, hidden]`: shift, scale, gate of attention, then of the feed-forward part.
    let modulation: Linear
    /// `[3 · hidden, hidden]`: queries, keys, values.
    let qkv: Linear
    let norms: HeadNorms
    /// `[hidden, hidden]`.
    let projection: Linear
    /// `[feedForward, hidden]` and back.
    let up, down: Linear

    /// What each step reads, in the order of use.
    var stepWeights: [WeightMatrix] { [qkv, projection, up, down].map(\.weight) }
  }

  struct DoubleLayer: Sendable {
    let image, text: Stream

    /// What each step reads, in the order of use: attention needs both streams.
    var stepWeights: [WeightMatrix] {
      let streams = [text, image]
      return streams.map(\.qkv.weight) + streams.flatMap { $0.stepWeights.dropFirst() }
    }
  }

  struct SingleLayer: Sendable {
    /// `[3 · hidden, hidden]`: shift, scale, gate.
    let modulation: Linear
    /// `[3 · hidden + feedForward, hidden]`: queries, keys, values, and the feed-forward part.
    let input: Linear
    let norms: HeadNorms
    /// `[hidden, hidden + feedForward]`: from attention's result and the feed-forward part.
    let output: Linear

    /// What each step reads, in the order of use.
    var stepWeights: [WeightMatrix] { [input.weight, output.weight] }
  }

  /// A layer of either kind.
  enum Layer: Sendable {
    case double(DoubleLayer)
    case single(SingleLayer)
  }

  let imageInput: Linear
  let textInput: Linear
  let time: Embedder
  /// Of the strength of guidance; nil where none was distilled.
  let guidance: Embedder?
  /// Of the vector that stands for the prompt.
  let pooled: Embedder
  let doubleLayers: [DoubleLayer]
  let singleLayers: [SingleLayer]
  /// `[2 · hidden, hidden]`: shift, then scale.
  let finalModulation: Linear
  /// `[features, hidden]`.
  let output: Linear

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
  ///   superfluous.
  init(_ weights: any WeightSource, _ sizes: FluxConfiguration) throws(ModelFileError) {
    let hidden = sizes.hiddenSize
    func linear(_ name: String, _ rows: Int, _ columns: Int) throws(ModelFileError) -> Linear {
      try Linear(weights, name, rows, columns)
    }
    func embedder(_ name: String, _ width: Int) throws(ModelFileError) -> Embedder {
      Embedder(
        input: try linear("\(name).in_layer", hidden, width),
        output: try linear("\(name).out_layer", hidden, hidden))
    }
    imageInput = try linear("img_in", hidden, sizes.featureCount)
    textInput = try linear("txt_in", hidden, sizes.textWidth)
    time = try embedder("time_in", sizes.timeWidth)
    guidance = sizes.hasGuidance ? try embedder("guidance_in", sizes.timeWidth) : nil
    pooled = try embedder("vector_in", sizes.pooledWidth)
    var doubleLayers: [DoubleLayer] = []
    for index in 0..<sizes.doubleLayerCount {
      let layer = "double_blocks.\(index)"
      doubleLayers.append(
        DoubleLayer(
          image: try Stream(weights, sizes, "\(layer).img"),
          text: try Stream(weights, sizes, "\(layer).txt")))
    }
    self.doubleLayers = doubleLayers
    var singleLayers: [SingleLayer] = []
    for index in 0..<sizes.singleLayerCount {
      singleLayers.append(try SingleLayer(weights, sizes, "single_blocks.\(index)"))
    }
    self.singleLayers = singleLayers
    finalModulation = try linear("final_layer.adaLN_modulation.1", 2 * hidden, hidden)
    output = try linear("final_layer.linear", sizes.featureCount, hidden)
    try weights.expectNothingElse()
  }
}

extension FluxWeights {
  /// Layers of both stacks.
  var layerCount: Int { doubleLayers.count + singleLayers.count }

  /// A layer of both stacks.
  func layer(_ index: Int) -> Layer {
    index < doubleLayers.count
      ? .double(doubleLayers[index]) : .single(singleLayers[index - doubleLayers.count])
  }
}

extension FluxWeights.Linear {
  fileprivate init(
    _ weights: any WeightSource, _ name: String, _ rows: Int, _ columns: Int
  ) throws(ModelFileError) {
    weight = try weights.matrix("\(name).weight", rows: rows, columns: columns)
    bias = try weights.vector("\(name).bias", count: rows)
  }
}

extension FluxWeights.HeadNorms {
  fileprivate init(
    _ weights: any WeightSource, _ sizes: FluxConfiguration, _ name: String
  ) throws(ModelFileError) {
    query = try weights.vector("\(name).query_norm.scale", count: sizes.headDimension)
    key = try weights.vector("\(name).key_norm.scale", count: sizes.headDimension)
  }
}

extension FluxWeights.Stream {
  fileprivate init(
    _ weights: any WeightSource, _ sizes: FluxConfiguration, _ name: String
  ) throws(ModelFileError) {
    let (hidden, wide) = (sizes.hiddenSize, sizes.feedForwardWidth)
    modulation = try .init(weights, "\(name)_mod.lin", 6 * hidden, hidden)
    qkv = try .init(weights, "\(name)_attn.qkv", 3 * hidden, hidden)
    norms = try .init(weights, sizes, "\(name)_attn.norm")
    projection = try .init(weights, "\(name)_attn.proj", hidden, hidden)
    up = try .init(weights, "\(name)_mlp.0", wide, hidden)
    down = try .init(weights, "\(name)_mlp.2", hidden, wide)
  }
}

extension FluxWeights.SingleLayer {
  fileprivate init(
    _ weights: any WeightSource, _ sizes: FluxConfiguration, _ name: String
  ) throws(ModelFileError) {
    let (hidden, wide) = (sizes.hiddenSize, sizes.feedForwardWidth)
    modulation = try .init(weights, "\(name).modulation.lin", 3 * hidden, hidden)
    input = try .init(weights, "\(name).linear1", 3 * hidden + wide, hidden)
    norms = try .init(weights, sizes, "\(name).norm")
    output = try .init(weights, "\(name).linear2", hidden, hidden + wide)
  }
}
