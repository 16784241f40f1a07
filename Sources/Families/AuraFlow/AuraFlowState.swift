import Compute
import Networks

/// The activations of a generation, and what a layer does to them.
///
/// All branches pass through a layer before the next one's weights are read. Inside of a layer they
/// come one after the other, so that all but the residual stream is there for one branch only.
struct AuraFlowState {
  /// Rows that pass through the wide feed-forward part at once.
  static let feedForwardRows = 1024

  /// One stream of tokens of a branch in one layer.
  struct Stream {
    /// Rows of the residual stream.
    let rows: Range<Int>
    let weights: AuraFlowWeights.Stream
    let modulation: LayerModulation
  }

  let layout: TokenLayout
  /// The residual stream `[tokens, hidden]`.
  let tokens: Matrix
  private let q: Matrix
  private let k: Matrix
  private let v: Matrix
  /// Attention's result before its output projection.
  private let attended: Matrix
  private let gate: Matrix
  private let up: Matrix
  private let keyBiases: [(position: Int, value: Float)?]
  private let configuration: AuraFlowConfiguration

  /// Allocates all activations.
  init(
    _ layout: TokenLayout, _ configuration: AuraFlowConfiguration,
    keyBiases: [(position: Int, value: Float)?], on device: any ComputeDevice
  ) throws(ComputeError) {
    let rows = layout.largestBranch
    let hidden = configuration.hiddenSize
    self.layout = layout
    self.configuration = configuration
    self.keyBiases = keyBiases
    tokens = try device.matrix(rows: layout.rowCount, columns: hidden)
    q = try device.matrix(rows: rows, columns: hidden)
    k = try device.matrix(rows: rows, columns: hidden)
    v = try device.matrix(rows: rows, columns: hidden)
    attended = try device.matrix(rows: rows, columns: hidden)
    let tile = min(rows, Self.feedForwardRows)
    gate = try device.matrix(rows: tile, columns: configuration.feedForwardWidth)
    up = try device.matrix(rows: tile, columns: configuration.feedForwardWidth)
  }

  /// Passes one branch through one layer: one stream for all its tokens, or one for context and
  /// one for image.
  func run(branch: Int, _ streams: [Stream], on device: any ComputeDevice) throws(ComputeError) {
    let first = layout.rows(of: branch).lowerBound
    for stream in streams { try projectHeads(stream, first: first, on: device) }
    let headDimension = configuration.headDimension
    let rows = 0..<layout.rows(of: branch).count
    let sequence = AttentionSequence(ranges: [rows], keyBias: keyBiases[branch])
    let heads = HeadPreparation(
      rows: rows, .init(.meanAndVariance, epsilon: AuraFlowTransformer.epsilon))
    try device.attend(
      Attention(
        q, k, v, sequences: [sequence], headDimension: headDimension,
        preparing: [heads], scale: 1 / Float(headDimension).squareRoot()),
      into: attended)
    for stream in streams { try feedForward(stream, first: first, on: device) }
  }

  /// Queries, keys and values of some tokens. `first` is the branch's first row.
  private func projectHeads(
    _ stream: Stream, first: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (weights, modulation) = (stream.weights, stream.modulation)
    let rows = stream.rows.lowerBound - first..<stream.rows.upperBound - first
    let input = ProductInput.modulated(
      tokens.rows(stream.rows), scale: modulation.attentionScale,
      shift: modulation.attentionShift, epsilon: AuraFlowTransformer.epsilon)
    try device.multiply(
      input,
      by: [
        Product(weights.q, into: q.rows(rows)), Product(weights.k, into: k.rows(rows)),
        Product(weights.v, into: v.rows(rows)),
      ])
  }

  /// `tokens += gate · MLP(modulated LN(tokens + gate · attention))`.
  private func feedForward(
    _ stream: Stream, first: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (weights, modulation) = (stream.weights, stream.modulation)
    let rows = stream.rows.lowerBound - first..<stream.rows.upperBound - first
    // Neither keys nor queries are needed any more; their memory takes results.
    try device.multiply(attended.rows(rows), by: weights.o, into: k.rows(rows))
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: gate.rows) {
      let tile = start..<min(rows.upperBound, start + gate.rows)
      let stored = tokens.rows(first + tile.lowerBound..<first + tile.upperBound)
      let (inner, values) = (gate.rows(0..<tile.count), up.rows(0..<tile.count))
      let input = ProductInput.modulated(
        stored, adding: GatedUpdate(k.rows(tile), gate: modulation.attentionGate),
        scale: modulation.feedForwardScale, shift: modulation.feedForwardShift,
        epsilon: AuraFlowTransformer.epsilon)
      try device.multiply(
        input, by: [Product(weights.gate, into: inner), Product(weights.up, into: values)])
      let result = q.rows(tile)
      try device.multiply(
        .gated(.silu, inner, times: values), by: [Product(weights.down, into: result)])
      // A pass of its own: as the end of each output tile it strides through both matrices, which
      // was slower (3.9 % of a step).
      try device.add(GatedUpdate(result, gate: modulation.feedForwardGate), to: stored)
    }
  }
}
