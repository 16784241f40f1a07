import Foundation
import Tensors

/// Which rows of the token matrix belong to which branch: all contexts first, then all images.
///
/// So each stream of a double layer is one run of rows, and a single layer takes all rows at once.
struct TokenLayout {
  /// Context tokens of each branch.
  let contexts: [Int]
  /// Image tokens of every branch.
  let imageTokens: Int

  private var contextCount: Int { contexts.reduce(0, +) }

  var contextRows: Range<Int> { 0..<contextCount }
  var imageRows: Range<Int> { contextCount..<contextCount + contexts.count * imageTokens }
  var allRows: Range<Int> { 0..<imageRows.upperBound }

  func contextRows(of branch: Int) -> Range<Int> {
    let start = contexts[..<branch].reduce(0, +)
    return start..<start + contexts[branch]
  }

  func imageRows(of branch: Int) -> Range<Int> {
    let start = contextCount + branch * imageTokens
    return start..<start + imageTokens
  }
}

/// The activations of one pass through the transformer, and what a layer does to them.
struct AuraFlowState {
  /// Rows that pass through the wide feed-forward part at once.
  private static let feedForwardRows = 1024

  /// The residual stream `[tokens, hidden]`.
  let tokens: Matrix
  private let normalized: Matrix
  private let q: Matrix
  private let k: Matrix
  private let v: Matrix
  /// Attention's result before its output projection.
  private let attended: Matrix
  private let gate: Matrix
  private let up: Matrix
  private let sequences: [AttentionSequence]
  private let configuration: AuraFlowConfiguration

  /// Allocates all activations.
  init(
    _ layout: TokenLayout, _ configuration: AuraFlowConfiguration,
    keyBiases: [(position: Int, value: Float)?]
  ) throws(ComputeError) {
    let rows = layout.allRows.count
    let hidden = configuration.hiddenSize
    self.configuration = configuration
    tokens = try Matrix(rows: rows, columns: hidden)
    normalized = try Matrix(rows: rows, columns: hidden)
    q = try Matrix(rows: rows, columns: hidden)
    k = try Matrix(rows: rows, columns: hidden)
    v = try Matrix(rows: rows, columns: hidden)
    attended = try Matrix(rows: rows, columns: hidden)
    let tile = min(rows, Self.feedForwardRows)
    gate = try Matrix(rows: tile, columns: configuration.feedForwardWidth)
    up = try Matrix(rows: tile, columns: configuration.feedForwardWidth)
    sequences = keyBiases.enumerated().map { index, bias in
      AttentionSequence(
        ranges: [layout.contextRows(of: index), layout.imageRows(of: index)], keyBias: bias)
    }
  }

  /// Passes all tokens through one layer: one stream for all, or one for context and one for image.
  func run(
    _ streams: [(rows: Range<Int>, weights: AuraFlowWeights.Stream, modulation: LayerModulation)],
    on pool: ThreadPool
  ) throws(ComputeError) {
    for stream in streams {
      try projectHeads(stream.rows, stream.weights, stream.modulation, on: pool)
    }
    let headDimension = configuration.headDimension
    try attend(
      q, k, v, sequences: sequences, headDimension: headDimension,
      scale: 1 / Float(headDimension).squareRoot(), into: attended, on: pool)
    for stream in streams {
      try feedForward(stream.rows, stream.weights, stream.modulation, on: pool)
    }
  }

  /// Queries, keys and values of some tokens.
  private func projectHeads(
    _ rows: Range<Int>, _ weights: AuraFlowWeights.Stream, _ modulation: LayerModulation,
    on pool: ThreadPool
  ) throws(ComputeError) {
    let input = normalized.rows(rows)
    try normalizeAndModulate(
      tokens.rows(rows), scale: modulation.attentionScale, shift: modulation.attentionShift,
      epsilon: AuraFlowTransformer.epsilon, into: input, on: pool)
    try multiply(input, by: weights.q, into: q.rows(rows), on: pool)
    try multiply(input, by: weights.k, into: k.rows(rows), on: pool)
    try multiply(input, by: weights.v, into: v.rows(rows), on: pool)
    for heads in [q.rows(rows), k.rows(rows)] {
      try normalizeHeads(
        heads, headDimension: configuration.headDimension, epsilon: AuraFlowTransformer.epsilon,
        on: pool)
    }
  }

  /// `tokens += gate · MLP(modulated LN(tokens + gate · attention))`.
  private func feedForward(
    _ rows: Range<Int>, _ weights: AuraFlowWeights.Stream, _ modulation: LayerModulation,
    on pool: ThreadPool
  ) throws(ComputeError) {
    let input = normalized.rows(rows)
    try multiply(attended.rows(rows), by: weights.o, into: input, on: pool)
    try addGated(
      input, gate: modulation.attentionGate, to: tokens.rows(rows), into: input, on: pool)
    try normalizeAndModulate(
      input, scale: modulation.feedForwardScale, shift: modulation.feedForwardShift,
      epsilon: AuraFlowTransformer.epsilon, into: input, on: pool)
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: gate.rows) {
      let tile = start..<min(rows.upperBound, start + gate.rows)
      let inner = gate.rows(0..<tile.count)
      let values = up.rows(0..<tile.count)
      try multiply(normalized.rows(tile), by: weights.gate, into: inner, on: pool)
      try multiply(normalized.rows(tile), by: weights.up, into: values, on: pool)
      try applyGate(.silu, to: inner, times: values, on: pool)
      // Queries are not needed any more; their memory takes the result.
      try multiply(inner, by: weights.down, into: q.rows(tile), on: pool)
      try addGated(
        q.rows(tile), gate: modulation.feedForwardGate, to: tokens.rows(tile),
        into: tokens.rows(tile), on: pool)
    }
  }
}

extension Float {
  /// Natural logarithm.
  var logarithm: Float { logf(self) }
}
