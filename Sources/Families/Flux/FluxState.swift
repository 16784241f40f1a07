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

  /// What a layer consists of.
  enum Part {
    /// Queries, keys, values, and attention.
    case attention
    /// Attention's output projection.
    case projection
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
  /// Rows of the feed-forward part before their activation.
  let inner: Matrix
  /// `[imageTokens, headDimension]`: the angles of the image tokens. Text has position 0.
  private let rotation: Matrix
  private let configuration: FluxConfiguration

  /// Allocates all activations.
  ///
  /// - Parameters:
  ///   - layout: tokens of the branches.
  ///   - configuration: sizes of the transformer.
  ///   - rotation: `[imageTokens, headDimension]`: the angles of the image tokens.
  ///   - feedForwardRows: rows that pass through the feed-forward part at once.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out.
  init(
    _ layout: TokenLayout, _ configuration: FluxConfiguration, rotation: Matrix,
    feedForwardRows: Int = Self.feedForwardRows, on device: any ComputeDevice
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
      rows: min(rows, feedForwardRows), columns: configuration.feedForwardWidth)
  }

  // MARK: Layers

  /// Passes one branch through one layer: text and image of a double layer, or all tokens as one
  /// stream of a single layer.
  func run(
    branch: Int, _ streams: [FluxStream], on device: any ComputeDevice
  ) throws(ComputeError) {
    try attend(branch: branch, streams, on: device)
    for stream in streams {
      try project(stream, on: device)
      for start in stride(from: stream.rows.lowerBound, to: stream.rows.upperBound, by: inner.rows)
      {
        let tile = start..<min(stream.rows.upperBound, start + inner.rows)
        // Both ways at once, while the tile is in the caches.
        let wide = inner.rows(0..<tile.count)
        try expand(tile, of: stream, into: wide, on: device)
        try contract(tile, of: stream, wide, on: device)
      }
    }
  }

  /// Runs some parts of a layer for the only branch, in a state whose feed-forward part has all
  /// rows at once: what they leave lies in `tokens`, `attended` or `inner`.
  func run(
    _ parts: [Part], _ streams: [FluxStream], on device: any ComputeDevice
  ) throws(ComputeError) {
    for part in parts {
      switch part {
      case .attention: try attend(branch: 0, streams, on: device)
      case .projection: for stream in streams { try project(stream, on: device) }
      case .expansion:
        for stream in streams {
          try expand(stream.rows, of: stream, into: inner.rows(stream.rows), on: device)
        }
      case .contraction:
        for stream in streams {
          try contract(stream.rows, of: stream, inner.rows(stream.rows), on: device)
        }
      }
    }
  }

  // MARK: Parts of a layer

  /// Attention of a branch, text before image.
  private func attend(
    branch: Int, _ streams: [FluxStream], on device: any ComputeDevice
  ) throws(ComputeError) {
    for stream in streams { try projectHeads(of: stream, on: device) }
    let context = layout.contexts[branch]
    let rows = 0..<layout.rows(of: branch).count
    let headDimension = configuration.headDimension
    // In a single layer both are the only stream.
    let norms = [streams[0], streams[streams.count - 1]].map { stream in
      HeadPreparation.Normalization(
        .rootMeanSquare, epsilon: Self.epsilon, queryWeight: stream.norms.query,
        keyWeight: stream.norms.key)
    }
    try device.attend(
      Attention(
        q, k, v, sequences: [AttentionSequence(ranges: [rows])], headDimension: headDimension,
        preparing: [
          HeadPreparation(rows: 0..<context, norms[0]),
          HeadPreparation(rows: context..<rows.upperBound, norms[1], rotation: rotation),
        ], scale: 1 / Float(headDimension).squareRoot()), into: attended)
  }

  /// Queries, keys and values of a stream: the first rows of a layer.
  private func projectHeads(
    of stream: FluxStream, on device: any ComputeDevice
  ) throws(ComputeError) {
    let hidden = configuration.hiddenSize
    try device.multiply(
      modulated(stored(stream.rows, of: stream), stream.attention),
      by: [q, k, v].enumerated().map { index, target in
        stream.heads.rows(index * hidden..<(index + 1) * hidden)
          .product(into: target.rows(stream.rows))
      })
  }

  /// `tokens += gate · (W attention)`, where attention has a projection of its own.
  private func project(
    _ stream: FluxStream, on device: any ComputeDevice
  ) throws(ComputeError) {
    guard let projection = stream.projection else { return }
    // Queries are not needed any more; their memory takes results.
    let result = q.rows(stream.rows)
    try device.multiply(
      ProductInput(attended.rows(stream.rows)), by: [projection.product(into: result)])
    try device.add(
      GatedUpdate(result, gate: stream.attention.gate), to: stored(stream.rows, of: stream))
  }

  /// The wide rows of `MLP(modulated LN(tokens))` for some rows of a stream, before their
  /// activation.
  private func expand(
    _ rows: Range<Int>, of stream: FluxStream, into wide: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) {
    try device.multiply(
      modulated(stored(rows, of: stream), stream.feedForward),
      by: [stream.up.product(into: wide)])
  }

  /// `tokens += gate · W GELU(wide)` for some rows of a stream, or `gate · W [attention,
  /// GELU(wide)]` where attention has no projection of its own.
  private func contract(
    _ rows: Range<Int>, of stream: FluxStream, _ wide: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) {
    let result = q.rows(rows)
    let input =
      stream.projection == nil
      ? ProductInput.joined(attended.rows(rows), .geluTanh, wide) : .activated(.geluTanh, wide)
    try device.multiply(input, by: [stream.down.product(into: result)])
    try device.add(
      GatedUpdate(result, gate: stream.feedForward.gate), to: stored(rows, of: stream))
  }

  private func modulated(_ x: Matrix, _ modulation: PartModulation) -> ProductInput {
    .modulated(x, scale: modulation.scale, shift: modulation.shift, epsilon: Self.epsilon)
  }

  /// Rows of a stream in the residual stream.
  private func stored(_ rows: Range<Int>, of stream: FluxStream) -> Matrix {
    tokens.rows(stream.first + rows.lowerBound..<stream.first + rows.upperBound)
  }
}
