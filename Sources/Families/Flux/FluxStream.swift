import Compute
import Networks

/// Tokens of a branch that pass through a layer together, with all that the layer has for them.
struct FluxStream {
  /// Which of the branch's rows they are.
  let rows: Range<Int>
  /// The branch's first row in the residual stream.
  let first: Int
  /// Queries, keys and values; there may be other rows behind them.
  let heads: FluxWeights.Linear
  let norms: FluxWeights.HeadNorms
  /// Of attention's result; nil where that enters `down`, before the wide rows.
  let projection: FluxWeights.Linear?
  /// The feed-forward part, `[feedForward, hidden]` and back.
  let up, down: FluxWeights.Linear
  let attention, feedForward: PartModulation
}

extension FluxStream {
  /// Text or image of a double layer; `vectors` is `[rows, 6 · hidden]`, of which one row counts.
  private init(
    _ rows: Range<Int>, first: Int, _ weights: FluxWeights.Stream, _ vectors: Matrix, row: Int,
    hidden: Int
  ) {
    self.init(
      rows: rows, first: first, heads: weights.qkv, norms: weights.norms,
      projection: weights.projection, up: weights.up, down: weights.down,
      attention: PartModulation(vectors, row: row, part: 0, hidden: hidden),
      feedForward: PartModulation(vectors, row: row, part: 1, hidden: hidden))
  }

  /// All tokens of a single layer; `vectors` is `[rows, 3 · hidden]`, of which one row counts.
  private init(
    _ rows: Range<Int>, first: Int, _ weights: FluxWeights.SingleLayer, _ vectors: Matrix,
    row: Int, hidden: Int
  ) {
    // Both parts read the same rows and are added by the same gate.
    let modulation = PartModulation(vectors, row: row, hidden: hidden)
    self.init(
      rows: rows, first: first, heads: weights.input, norms: weights.norms, projection: nil,
      up: weights.input.rows(3 * hidden..<weights.input.weight.rows), down: weights.output,
      attention: modulation, feedForward: modulation)
  }

  /// The streams of a branch in a layer.
  ///
  /// - Parameters:
  ///   - branch: which one.
  ///   - layout: where its rows lie.
  ///   - layer: the weights.
  ///   - modulation: of the layer.
  ///   - row: the row of it that counts.
  /// - Returns: text and image, or all tokens as one.
  static func streams(
    of branch: Int, in layout: TokenLayout, _ layer: FluxWeights.Layer,
    _ modulation: FluxTransformer.LayerModulation, row: Int
  ) -> [FluxStream] {
    let (stored, text) = (layout.rows(of: branch), layout.contexts[branch])
    let first = stored.lowerBound
    switch (layer, modulation) {
    case (.double(let layer), .double(let textVectors, let imageVectors)):
      let hidden = textVectors.columns / 6
      return [
        FluxStream(
          0..<text, first: first, layer.text, textVectors, row: row, hidden: hidden),
        FluxStream(
          text..<stored.count, first: first, layer.image, imageVectors, row: row, hidden: hidden),
      ]
    case (.single(let layer), .single(let vectors)):
      return [
        FluxStream(
          0..<stored.count, first: first, layer, vectors, row: row, hidden: vectors.columns / 3)
      ]
    default: preconditionFailure("modulation of another layer")
    }
  }
}
