import KernelInterface

/// A function between products.
package typealias Activation = KernelInterface.Activation
/// What a row is normalized by.
package typealias RowStatistics = KernelInterface.RowStatistics

/// What is added to a residual stream: `gate · values`, with one gate for each column.
package struct GatedUpdate: Sendable {
  /// `[rows, columns]`.
  package let values: Matrix
  /// `[1, columns]`; nil for ones.
  package let gate: Matrix?

  package init(_ values: Matrix, gate: Matrix? = nil) {
    precondition(gate.map { $0.rows == 1 && $0.columns == values.columns } ?? true)
    self.values = values
    self.gate = gate
  }

  /// The update of some of the rows.
  package func rows(_ range: Range<Int>) -> GatedUpdate {
    GatedUpdate(values.rows(range), gate: gate)
  }
}

/// The rows that enter products: stored ones, or ones that are made from stored ones while they are
/// packed, which saves writing them to memory and reading them again.
package struct ProductInput: Sendable {
  /// How a row comes to be. Vectors have as many elements as a row.
  package enum Source: Sendable {
    /// As it is stored.
    case stored
    /// With something added, normalized, then scaled by one more than `scale` and shifted; `[1,
    /// columns]` each.
    case modulated(
      RowStatistics, adding: GatedUpdate?, epsilon: Float, scale: Matrix, shift: Matrix)
    /// Brought to mean 0 and variance 1, scaled and shifted.
    case normalized(epsilon: Float, weight: [Float], bias: [Float])
    /// Divided by its root mean square and scaled.
    case rootMeanSquare(epsilon: Float, weight: [Float])
    /// An activation of it, times the same row of another matrix.
    case gated(Activation, values: Matrix)
    /// An activation of it.
    case activated(Activation)
    /// As it is stored, and behind it an activation of the same row of another matrix.
    case joined(Activation, Matrix)
  }

  /// What rows are made from.
  package let x: Matrix
  package let source: Source

  package var rows: Int { x.rows }
  package var columns: Int {
    guard case .joined(_, let other) = source else { return x.columns }
    return x.columns + other.columns
  }

  /// Rows as they are stored.
  package init(_ x: Matrix) { self.init(x, .stored) }

  private init(_ x: Matrix, _ source: Source) {
    self.x = x
    self.source = source
  }

  /// Adaptive layer normalization, `LayerNorm(x + update) · (1 + scale) + shift`.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - update: what is added first, or nil.
  ///   - statistics: `.none` leaves normalizing out.
  ///   - scale: `[1, columns]`.
  ///   - shift: `[1, columns]`.
  ///   - epsilon: added to the variance.
  /// - Returns: rows that are made from `x` when they are packed.
  package static func modulated(
    _ x: Matrix, adding update: GatedUpdate? = nil,
    _ statistics: RowStatistics = .meanAndVariance, scale: Matrix, shift: Matrix,
    epsilon: Float
  ) -> ProductInput {
    precondition(update.map { $0.values.rows == x.rows && $0.values.columns == x.columns } ?? true)
    precondition(scale.columns == x.columns && shift.columns == x.columns)
    return ProductInput(
      x, .modulated(statistics, adding: update, epsilon: epsilon, scale: scale, shift: shift))
  }

  /// Rows divided by their root mean square, times a weight.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - weight: `[columns]`.
  ///   - epsilon: added to the mean square.
  /// - Returns: rows that are made from `x` when they are packed.
  package static func rootMeanSquare(
    _ x: Matrix, weight: [Float], epsilon: Float
  ) -> ProductInput {
    precondition(weight.count == x.columns)
    return ProductInput(x, .rootMeanSquare(epsilon: epsilon, weight: weight))
  }

  /// A gated unit, `activation(gate) · values`, element by element.
  ///
  /// - Parameters:
  ///   - activation: the function on `gate`.
  ///   - gate: `[rows, columns]`.
  ///   - values: `[rows, columns]`.
  /// - Returns: rows that are made from both when they are packed.
  package static func gated(_ activation: Activation, _ gate: Matrix, times values: Matrix)
    -> ProductInput
  {
    precondition(gate.rows == values.rows && gate.columns == values.columns)
    return ProductInput(gate, .gated(activation, values: values))
  }

  /// Layer normalization, `LayerNorm(x) · weight + bias`.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - weight: `[columns]`.
  ///   - bias: `[columns]`.
  ///   - epsilon: added to the variance.
  /// - Returns: rows that are made from `x` when they are packed.
  package static func normalized(
    _ x: Matrix, weight: [Float], bias: [Float], epsilon: Float
  ) -> ProductInput {
    precondition(weight.count == x.columns && bias.count == x.columns)
    return ProductInput(x, .normalized(epsilon: epsilon, weight: weight, bias: bias))
  }

  /// An activation of every element.
  package static func activated(_ activation: Activation, _ x: Matrix) -> ProductInput {
    ProductInput(x, .activated(activation))
  }

  /// The rows of one matrix, and behind each an activation of the same row of another.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - activation: the function on `other`.
  ///   - other: `[rows, others]`.
  /// - Returns: rows `[rows, columns + others]` that are made from both when they are packed.
  package static func joined(_ x: Matrix, _ activation: Activation, _ other: Matrix) -> ProductInput
  {
    precondition(x.rows == other.rows)
    return ProductInput(x, .joined(activation, other))
  }

  /// Some of the rows.
  package func rows(_ range: Range<Int>) -> ProductInput {
    switch source {
    case .stored, .normalized, .rootMeanSquare, .activated: ProductInput(x.rows(range), source)
    case .modulated(let statistics, let update, let epsilon, let scale, let shift):
      ProductInput(
        x.rows(range),
        .modulated(
          statistics, adding: update?.rows(range), epsilon: epsilon, scale: scale, shift: shift))
    case .gated(let activation, let values):
      ProductInput(x.rows(range), .gated(activation, values: values.rows(range)))
    case .joined(let activation, let other):
      ProductInput(x.rows(range), .joined(activation, other.rows(range)))
    }
  }

  /// Whether nothing has to be made.
  package var isStored: Bool {
    if case .stored = source { return true }
    return false
  }
}

/// A stored weight to multiply by, and where the result goes: `result = x · weightᵀ + bias`.
package struct Product: Sendable {
  package let weight: WeightMatrix
  package let bias: [Float]?
  package let result: Matrix
  /// Whether the product is added to what `result` holds.
  package let accumulates: Bool

  /// - Parameters:
  ///   - weight: `[out, in]`.
  ///   - bias: `[out]`, or nil.
  ///   - result: `[rows, out]`, overwritten; must not overlap what the input is made from.
  package init(_ weight: WeightMatrix, bias: [Float]? = nil, into result: Matrix) {
    self.init(weight, bias: bias, result, accumulates: false)
  }

  /// A product that is added to what the result holds, `result += x · weightᵀ`.
  ///
  /// - Precondition: no adapter adds to the weight.
  package init(_ weight: WeightMatrix, addingTo result: Matrix) {
    precondition(weight.updates.isEmpty)
    self.init(weight, bias: nil, result, accumulates: true)
  }

  private init(_ weight: WeightMatrix, bias: [Float]?, _ result: Matrix, accumulates: Bool) {
    precondition(result.columns == weight.rows && bias?.count ?? weight.rows == weight.rows)
    self.weight = weight
    self.bias = bias
    self.result = result
    self.accumulates = accumulates
  }
}
