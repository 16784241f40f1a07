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

/// What each head of some queries and keys goes through on its way into attention.
package struct HeadPreparation: Sendable {
  /// The normalization of a head.
  package struct Normalization: Sendable {
    package let statistics: RowStatistics
    /// Added to the variance or the mean square.
    package let epsilon: Float
    /// `[headDimension]`, of queries and of keys; nil for ones.
    package let queryWeight, keyWeight: [Float]?

    package init(
      _ statistics: RowStatistics, epsilon: Float, queryWeight: [Float]? = nil,
      keyWeight: [Float]? = nil
    ) {
      self.statistics = statistics
      self.epsilon = epsilon
      self.queryWeight = queryWeight
      self.keyWeight = keyWeight
    }
  }

  /// Rows of the query and key matrices.
  package let rows: Range<Int>
  /// What comes first; nil for nothing.
  package let normalization: Normalization?
  /// `[rows, headDimension]`: cosine and sine of the angle by which each pair of neighbours in a
  /// head is turned (rotary embedding: Su et al., "RoFormer", 2021); nil for none.
  package let rotation: Matrix?

  package init(rows: Range<Int>, _ normalization: Normalization?, rotation: Matrix? = nil) {
    precondition(rotation.map { $0.rows == rows.count } ?? true)
    self.rows = rows
    self.normalization = normalization
    self.rotation = rotation
  }
}

/// Multi-head softmax attention, `softmax(scale · q kᵀ + bias) v`, for several sequences at once.
package struct Attention: Sendable {
  /// Queries, keys and values `[rows, heads · headDimension]`.
  package let q, k, v: Matrix
  /// Which rows belong together.
  package let sequences: [AttentionSequence]
  /// Elements of one head.
  package let headDimension: Int
  /// What becomes of heads first, for rows that do not overlap; others are taken as they are.
  package let preparations: [HeadPreparation]
  /// Whether keys are seen only from their own place and later ones.
  package let isCausal: Bool
  /// Factor on the scores.
  package let scale: Float
  /// `[heads, 2 · keys − 1]` for a single sequence: what is added to the score of a key by its
  /// place minus the query's, from `−(keys − 1)` to `keys − 1`; or nil.
  package let distanceBias: Matrix?

  package init(
    _ q: Matrix, _ k: Matrix, _ v: Matrix, sequences: [AttentionSequence], headDimension: Int,
    preparing preparations: [HeadPreparation] = [], isCausal: Bool = false, scale: Float,
    distanceBias: Matrix? = nil
  ) {
    precondition(q.columns % headDimension == 0 && q.columns == v.columns)
    precondition(distanceBias == nil || sequences.count == 1)
    self.q = q
    self.k = k
    self.v = v
    self.sequences = sequences
    self.headDimension = headDimension
    self.preparations = preparations
    self.isCausal = isCausal
    self.scale = scale
    self.distanceBias = distanceBias
  }

  /// Number of heads.
  package var heads: Int { q.columns / headDimension }
}
