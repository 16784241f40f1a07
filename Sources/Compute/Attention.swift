/// The rows that attend to each other: one picture with its text, or one prompt.
package struct AttentionSequence: Sendable {
  /// Rows of the query, key and value matrices, as ranges; keys are taken in this order.
  package let ranges: [Range<Int>]
  /// Added to the score of one key, by its place among the keys.
  package let keyBias: (position: Int, value: Float)?

  package init(ranges: [Range<Int>], keyBias: (position: Int, value: Float)? = nil) {
    self.ranges = ranges
    self.keyBias = keyBias
  }

  /// Number of keys.
  package var count: Int { ranges.reduce(0) { $0 + $1.count } }
}

/// Multi-head softmax attention, `softmax(scale · q kᵀ + bias) v`, for several sequences at once.
package struct Attention: Sendable {
  /// Queries, keys and values `[rows, heads · headDimension]`.
  package let q, k, v: Matrix
  /// Which rows belong together.
  package let sequences: [AttentionSequence]
  /// Elements of one head.
  package let headDimension: Int
  /// What is added to variances, if each head of queries and keys is first brought to mean 0 and
  /// variance 1; nil to take them as they are.
  package let epsilon: Float?
  /// Factor on the scores.
  package let scale: Float
  /// `[heads, 2 · keys − 1]` for a single sequence: what is added to the score of a key by its
  /// place minus the query's, from `−(keys − 1)` to `keys − 1`; or nil.
  package let distanceBias: Matrix?

  package init(
    _ q: Matrix, _ k: Matrix, _ v: Matrix, sequences: [AttentionSequence], headDimension: Int,
    normalizing epsilon: Float? = nil, scale: Float, distanceBias: Matrix? = nil
  ) {
    precondition(q.columns % headDimension == 0 && q.columns == v.columns)
    precondition(distanceBias == nil || sequences.count == 1)
    self.q = q
    self.k = k
    self.v = v
    self.sequences = sequences
    self.headDimension = headDimension
    self.epsilon = epsilon
    self.scale = scale
    self.distanceBias = distanceBias
  }

  /// Number of heads.
  package var heads: Int { q.columns / headDimension }
}
