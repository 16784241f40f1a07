import Checkpoints
import Compute
import ModelFiles

/// The weights of one AuraFlow transformer, in the original release's terms.
struct AuraFlowWeights: Sendable {
  /// What one stream of tokens passes through in one layer.
  struct Stream: Sendable {
    /// `[hidden, hidden]` each.
    let q, k, v, o: WeightMatrix
    /// `[feedForward, hidden]`, inside the SiLU and beside it.
    let gate, up: WeightMatrix
    /// `[hidden, feedForward]`.
    let down: WeightMatrix
    /// `[6 · hidden, hidden]`: shift, scale, gate of attention, then of the feed-forward part.
    let modulation: WeightMatrix

    /// What each step reads, in the order of use.
    var stepWeights: [WeightMatrix] { [q, k, v, o, gate, up, down] }
  }

  /// The streams of a joint layer.
  struct DoubleLayer: Sendable {
    let context, image: Stream

    /// What each step reads, in the order of use: attention needs both streams.
    var stepWeights: [WeightMatrix] {
      let streams = [context, image]
      return streams.flatMap { [$0.q, $0.k, $0.v] }
        + streams.flatMap { [$0.o, $0.gate, $0.up, $0.down] }
    }
  }

  /// `[positions, hidden]`, row-major over the grid.
  let positions: WeightMatrix
  /// `[registers, hidden]`.
  let registers: WeightMatrix
  let imageInput: (weight: WeightMatrix, bias: [Float])
  let timeInput: (weight: WeightMatrix, bias: [Float])
  let timeOutput: (weight: WeightMatrix, bias: [Float])
  /// `[hidden, textWidth]`.
  let textInput: WeightMatrix
  let doubleLayers: [DoubleLayer]
  let singleLayers: [Stream]
  /// `[2 · hidden, hidden]`: shift, then scale.
  let finalModulation: WeightMatrix
  /// `[patch · patch · channels, hidden]`.
  let output: WeightMatrix

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
  ///   superfluous.
  init(_ weights: any WeightSource, _ sizes: AuraFlowConfiguration) throws(ModelFileError) {
    let hidden = sizes.hiddenSize
    let patch = sizes.patchSize * sizes.patchSize * sizes.latentChannels
    func linear(
      _ name: String, _ rows: Int, _ columns: Int
    ) throws(ModelFileError) -> (weight: WeightMatrix, bias: [Float]) {
      (
        try weights.matrix("\(name).weight", rows: rows, columns: columns),
        try weights.vector("\(name).bias", count: rows)
      )
    }
    positions = try weights.matrix(
      "positional_encoding", rows: sizes.positionCount, columns: hidden)
    registers = try weights.matrix("register_tokens", rows: sizes.registerCount, columns: hidden)
    imageInput = try linear("init_x_linear", hidden, patch)
    timeInput = try linear("t_embedder.mlp.0", hidden, sizes.timeWidth)
    timeOutput = try linear("t_embedder.mlp.2", hidden, hidden)
    textInput = try weights.matrix(
      "cond_seq_linear.weight", rows: hidden, columns: sizes.textWidth)
    var doubleLayers: [DoubleLayer] = []
    for index in 0..<sizes.doubleLayerCount {
      let layer = "double_layers.\(index)"
      doubleLayers.append(
        DoubleLayer(
          context: try Stream(
            weights, sizes, layer, attention: "w1", feedForward: "mlpC", "modC"),
          image: try Stream(weights, sizes, layer, attention: "w2", feedForward: "mlpX", "modX")))
    }
    self.doubleLayers = doubleLayers
    var singleLayers: [Stream] = []
    for index in 0..<sizes.singleLayerCount {
      singleLayers.append(
        try Stream(
          weights, sizes, "single_layers.\(index)", attention: "w1", feedForward: "mlp", "modCX"))
    }
    self.singleLayers = singleLayers
    finalModulation = try weights.matrix("modF.1.weight", rows: 2 * hidden, columns: hidden)
    output = try weights.matrix("final_linear.weight", rows: patch, columns: hidden)
    try weights.expectNothingElse()
  }
}

extension AuraFlowWeights {
  /// Layers of both stacks.
  var layerCount: Int { doubleLayers.count + singleLayers.count }

  /// What tokens pass through in a layer of both stacks: context and image, or all of them.
  func streams(of layer: Int) -> [Stream] {
    guard layer < doubleLayers.count else { return [singleLayers[layer - doubleLayers.count]] }
    return [doubleLayers[layer].context, doubleLayers[layer].image]
  }
}

extension AuraFlowWeights.Stream {
  init(
    _ weights: any WeightSource, _ sizes: AuraFlowConfiguration, _ layer: String,
    attention: String, feedForward: String, _ modulation: String
  ) throws(ModelFileError) {
    let hidden = sizes.hiddenSize
    func square(_ name: String) throws(ModelFileError) -> WeightMatrix {
      try weights.matrix("\(layer).attn.\(attention)\(name).weight", rows: hidden, columns: hidden)
    }
    q = try square("q")
    k = try square("k")
    v = try square("v")
    o = try square("o")
    gate = try weights.matrix(
      "\(layer).\(feedForward).c_fc1.weight", rows: sizes.feedForwardWidth, columns: hidden)
    up = try weights.matrix(
      "\(layer).\(feedForward).c_fc2.weight", rows: sizes.feedForwardWidth, columns: hidden)
    down = try weights.matrix(
      "\(layer).\(feedForward).c_proj.weight", rows: hidden, columns: sizes.feedForwardWidth)
    self.modulation = try weights.matrix(
      "\(layer).\(modulation).1.weight", rows: 6 * hidden, columns: hidden)
  }
}
