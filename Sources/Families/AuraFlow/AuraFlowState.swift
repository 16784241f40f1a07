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
    /// Which of the branch's rows it consists of.
    let rows: Range<Int>
    /// The branch's first row in the residual stream.
    let first: Int
    let weights: AuraFlowWeights.Stream
    let modulation: StreamModulation
  }

  /// What a layer consists of, in this order.
  enum Stage: Int {
    /// Queries, keys, values, and attention.
    case attention
    /// Attention's output projection.
    case output
    /// Into the width of the feed-forward part.
    case expansion
    /// And back.
    case contraction
  }

  let layout: TokenLayout
  /// The residual stream `[tokens, hidden]`.
  let tokens: Matrix
  private let q: Matrix
  private let k: Matrix
  private let v: Matrix
  /// Attention's result before its output projection.
  let attended: Matrix
  /// Rows of the feed-forward part, inside the SiLU and beside it. Where it runs as a stage of its
  /// own, the first takes their product.
  let gate: Matrix
  private let up: Matrix
  private let keyBiases: [(position: Int, value: Float)?]
  private let configuration: AuraFlowConfiguration

  /// Attention's result after its output projection. Neither keys nor queries are needed any more
  /// then; their memory takes results.
  var update: Matrix { k }

  /// Allocates all activations.
  ///
  /// - Parameters:
  ///   - layout: tokens of the branches.
  ///   - configuration: sizes of the transformer.
  ///   - keyBiases: of each branch, see `Context.keyBias`.
  ///   - feedForwardRows: rows that pass through the feed-forward part at once.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out.
  init(
    _ layout: TokenLayout, _ configuration: AuraFlowConfiguration,
    keyBiases: [(position: Int, value: Float)?], feedForwardRows: Int = Self.feedForwardRows,
    on device: any ComputeDevice
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
    let tile = min(rows, feedForwardRows)
    gate = try device.matrix(rows: tile, columns: configuration.feedForwardWidth)
    up = try device.matrix(rows: tile, columns: configuration.feedForwardWidth)
  }

  /// The streams of a branch in a layer.
  ///
  /// - Parameters:
  ///   - branch: which one.
  ///   - weights: of context and image, or of all tokens.
  ///   - modulation: of the layer.
  ///   - row: the row of it that counts.
  /// - Returns: as many as there are weights.
  func streams(
    of branch: Int, _ weights: [AuraFlowWeights.Stream],
    _ modulation: AuraFlowTransformer.LayerModulation, row: Int
  ) -> [Stream] {
    let (stored, context) = (layout.rows(of: branch), layout.contexts[branch])
    let all = 0..<stored.count
    let rows = weights.count == 1 ? [all] : [0..<context, context..<all.upperBound]
    return weights.indices.map { index in
      Stream(
        rows: rows[index], first: stored.lowerBound, weights: weights[index],
        modulation: StreamModulation(modulation.streams[index], row: row))
    }
  }

  /// Passes one branch through one layer: one stream for all its tokens, or one for context and
  /// one for image.
  func run(branch: Int, _ streams: [Stream], on device: any ComputeDevice) throws(ComputeError) {
    try attend(branch: branch, streams, on: device)
    for stream in streams {
      try projectOutput(stream, on: device)
      for start in stride(from: stream.rows.lowerBound, to: stream.rows.upperBound, by: gate.rows) {
        let tile = start..<min(stream.rows.upperBound, start + gate.rows)
        // Both ways at once, while the tile is in the caches.
        let wide = try expand(tile, of: stream, into: 0..<tile.count, on: device)
        try contract(tile, of: stream, wide, on: device)
      }
    }
  }

  /// Runs one stage of a layer for the only branch, in a state whose feed-forward part has all rows
  /// at once: what it leaves lies in `tokens`, `attended`, `update` or `gate`.
  func run(
    _ stage: Stage, _ streams: [Stream], on device: any ComputeDevice
  ) throws(ComputeError) {
    switch stage {
    case .attention: try attend(branch: 0, streams, on: device)
    case .output: for stream in streams { try projectOutput(stream, on: device) }
    case .expansion:
      for stream in streams {
        let wide = try expand(stream.rows, of: stream, into: stream.rows, on: device)
        // One matrix to keep instead of two; what is made of it is the same bits.
        try device.store(wide, into: gate.rows(stream.rows))
      }
    case .contraction:
      for stream in streams {
        try contract(
          stream.rows, of: stream, ProductInput(gate.rows(stream.rows)), on: device)
      }
    }
  }

  // MARK: Parts of a layer

  /// Attention of a branch over all its streams.
  private func attend(
    branch: Int, _ streams: [Stream], on device: any ComputeDevice
  ) throws(ComputeError) {
    for stream in streams { try projectHeads(stream, on: device) }
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
  }

  /// Queries, keys and values of a stream.
  private func projectHeads(
    _ stream: Stream, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (weights, modulation, rows) = (stream.weights, stream.modulation, stream.rows)
    let input = ProductInput.modulated(
      tokens(rows, of: stream), scale: modulation.attentionScale,
      shift: modulation.attentionShift, epsilon: AuraFlowTransformer.epsilon)
    try device.multiply(
      input,
      by: [
        Product(weights.q, into: q.rows(rows)), Product(weights.k, into: k.rows(rows)),
        Product(weights.v, into: v.rows(rows)),
      ])
  }

  /// What attention adds to a stream before the feed-forward part.
  private func projectOutput(
    _ stream: Stream, on device: any ComputeDevice
  ) throws(ComputeError) {
    try device.multiply(
      attended.rows(stream.rows), by: stream.weights.o, into: update.rows(stream.rows))
  }

  /// The wide rows of `MLP(modulated LN(tokens + gate · update))`.
  ///
  /// - Parameters:
  ///   - rows: some of the stream's.
  ///   - stream: which one.
  ///   - place: as many rows of `gate` and `up`, which are overwritten.
  ///   - device: where to compute.
  /// - Returns: what `contract` takes, made from those.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  private func expand(
    _ rows: Range<Int>, of stream: Stream, into place: Range<Int>, on device: any ComputeDevice
  ) throws(ComputeError) -> ProductInput {
    let (weights, modulation) = (stream.weights, stream.modulation)
    let (inner, values) = (gate.rows(place), up.rows(place))
    let input = ProductInput.modulated(
      tokens(rows, of: stream),
      adding: GatedUpdate(update.rows(rows), gate: modulation.attentionGate),
      scale: modulation.feedForwardScale, shift: modulation.feedForwardShift,
      epsilon: AuraFlowTransformer.epsilon)
    try device.multiply(
      input, by: [Product(weights.gate, into: inner), Product(weights.up, into: values)])
    return .gated(.silu, inner, times: values)
  }

  /// `tokens += gate · W wide`.
  private func contract(
    _ rows: Range<Int>, of stream: Stream, _ wide: ProductInput, on device: any ComputeDevice
  ) throws(ComputeError) {
    let result = q.rows(rows)
    try device.multiply(wide, by: [Product(stream.weights.down, into: result)])
    // A pass of its own: as the end of each output tile it strides through both matrices, which
    // was slower (3.9 % of a step).
    try device.add(
      GatedUpdate(result, gate: stream.modulation.feedForwardGate), to: tokens(rows, of: stream))
  }

  /// Rows of a stream in the residual stream.
  private func tokens(_ rows: Range<Int>, of stream: Stream) -> Matrix {
    tokens.rows(stream.first + rows.lowerBound..<stream.first + rows.upperBound)
  }
}
