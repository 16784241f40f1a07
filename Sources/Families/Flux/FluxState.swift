import Compute
import Networks

/// The activations of a generation, and what a layer does to them.
///
/// All branches pass through a layer before the next one's weights are read. Inside of a layer they
/// come one after the other, so that all but the residual stream is there for one branch only.
struct FluxState: Sendable {
  /// Rows that pass through the wide feed-forward part at once.
  static let feedForwardRows = 1024
  /// Added to variances and mean squares.
  static let epsilon: Float = 1e-6

  /// One stream of tokens of a branch in a double layer.
  struct Stream {
    /// Rows of the residual stream.
    let rows: Range<Int>
    let weights: FluxWeights.Stream
    let attention, feedForward: PartModulation
  }

  let layout: TokenLayout
  /// The residual stream `[tokens, hidden]`.
  let tokens: Matrix
  private let q: Matrix
  private let k: Matrix
  private let v: Matrix
  /// Attention's result before its output projection.
  private let attended: Matrix
  private let inner: Matrix
  /// `[imageTokens, headDimension]`: the angles of the image tokens. Text has position 0.
  private let rotation: Matrix
  private let configuration: FluxConfiguration

  /// Allocates all activations.
  init(
    _ layout: TokenLayout, _ configuration: FluxConfiguration, rotation: Matrix,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    let rows = layout.largestBranch
    let hidden = configuration.hiddenSize
    self.layout = layout
    self.configuration = configuration
    self.rotation = rotation
    tokens = try device.matrix(rows: layout.rowCount, columns: hidden)
    q = try device.matrix(rows: rows, columns: hidden)
    k = try device.matrix(rows: rows, columns: hidden)
    v = try device.matrix(rows: rows, columns: hidden)
    attended = try device.matrix(rows: rows, columns: hidden)
    inner = try device.matrix(
      rows: min(rows, Self.feedForwardRows), columns: configuration.feedForwardWidth)
  }

  // MARK: Layers

  /// Passes one branch through a double layer.
  func run(
    branch: Int, text: Stream, image: Stream, on device: any ComputeDevice
  ) throws(ComputeError) {
    let first = layout.rows(of: branch).lowerBound
    for stream in [text, image] {
      try projectHeads(
        of: stream.rows, first: first, stream.weights.qkv, stream.attention, on: device)
    }
    try attend(
      branch: branch, text: stream(text.weights.norms), image: stream(image.weights.norms),
      on: device)
    for stream in [text, image] {
      try project(stream, first: first, on: device)
      try feedForward(stream, first: first, on: device)
    }
  }

  /// Passes one branch through a single layer:
  /// `tokens += gate · W [attention, GELU(feed-forward part)]`.
  func run(
    branch: Int, _ layer: FluxWeights.SingleLayer, _ modulation: PartModulation,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    let rows = layout.rows(of: branch)
    try projectHeads(of: rows, first: rows.lowerBound, layer.input, modulation, on: device)
    let norms = stream(layer.norms)
    try attend(branch: branch, text: norms, image: norms, on: device)
    let wide = 3 * configuration.hiddenSize..<layer.input.weight.rows
    for start in stride(from: 0, to: rows.count, by: inner.rows) {
      let tile = start..<min(rows.count, start + inner.rows)
      let stored = tokens.rows(rows.lowerBound + start..<rows.lowerBound + tile.upperBound)
      let (values, result) = (inner.rows(0..<tile.count), q.rows(tile))
      try device.multiply(
        modulated(stored, modulation), by: [layer.input.rows(wide, into: values)])
      try device.multiply(
        .joined(attended.rows(tile), .geluTanh, values), by: [layer.output.product(into: result)])
      try device.add(GatedUpdate(result, gate: modulation.gate), to: stored)
    }
  }

  private func stream(_ norms: FluxWeights.HeadNorms) -> HeadPreparation.Normalization {
    .init(
      .rootMeanSquare, epsilon: Self.epsilon, queryWeight: norms.query, keyWeight: norms.key)
  }

  private func modulated(_ x: Matrix, _ modulation: PartModulation) -> ProductInput {
    .modulated(x, scale: modulation.scale, shift: modulation.shift, epsilon: Self.epsilon)
  }

  /// Queries, keys and values of some tokens: the first rows of a layer. `first` is the branch's
  /// first row.
  private func projectHeads(
    of stored: Range<Int>, first: Int, _ linear: FluxWeights.Linear, _ modulation: PartModulation,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    let rows = stored.lowerBound - first..<stored.upperBound - first
    let hidden = configuration.hiddenSize
    try device.multiply(
      modulated(tokens.rows(stored), modulation),
      by: [q, k, v].enumerated().map { index, target in
        linear.rows(index * hidden..<(index + 1) * hidden, into: target.rows(rows))
      })
  }

  /// Attention of a branch, text before image.
  private func attend(
    branch: Int, text: HeadPreparation.Normalization, image: HeadPreparation.Normalization,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    let context = layout.contexts[branch]
    let rows = 0..<layout.rows(of: branch).count
    let headDimension = configuration.headDimension
    try device.attend(
      Attention(
        q, k, v, sequences: [AttentionSequence(ranges: [rows])], headDimension: headDimension,
        preparing: [
          HeadPreparation(rows: 0..<context, text),
          HeadPreparation(rows: context..<rows.upperBound, image, rotation: rotation),
        ], scale: 1 / Float(headDimension).squareRoot()), into: attended)
  }

  /// `tokens += gate · (W attention)`.
  private func project(
    _ stream: Stream, first: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    let rows = stream.rows.lowerBound - first..<stream.rows.upperBound - first
    // Queries are not needed any more; their memory takes results.
    let result = q.rows(rows)
    try device.multiply(
      ProductInput(attended.rows(rows)), by: [stream.weights.projection.product(into: result)])
    try device.add(
      GatedUpdate(result, gate: stream.attention.gate), to: tokens.rows(stream.rows))
  }

  /// `tokens += gate · MLP(modulated LN(tokens))`.
  private func feedForward(
    _ stream: Stream, first: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    for start in stride(from: stream.rows.lowerBound, to: stream.rows.upperBound, by: inner.rows) {
      let tile = start..<min(stream.rows.upperBound, start + inner.rows)
      let stored = tokens.rows(tile)
      let values = inner.rows(0..<tile.count)
      let result = q.rows(tile.lowerBound - first..<tile.upperBound - first)
      try device.multiply(
        modulated(stored, stream.feedForward), by: [stream.weights.up.product(into: values)])
      try device.multiply(
        .activated(.geluTanh, values), by: [stream.weights.down.product(into: result)])
      try device.add(GatedUpdate(result, gate: stream.feedForward.gate), to: stored)
    }
  }
}
