import KernelInterface

/// What is added to a residual stream: `gate · values`, with one gate for each column.
package struct GatedUpdate: @unchecked Sendable {
  /// `[rows, columns]`.
  let values: Matrix
  /// `[columns]`, valid until the update is used; nil for ones.
  let gate: UnsafePointer<Float>?

  package init(_ values: Matrix, gate: UnsafePointer<Float>? = nil) {
    self.values = values
    self.gate = gate
  }

  /// The update of some of the rows.
  func rows(_ range: Range<Int>) -> GatedUpdate { GatedUpdate(values.rows(range), gate: gate) }

  /// `result = x + gate · values` in one row.
  func add(
    to x: Matrix, row: Int, into result: UnsafeMutablePointer<Float>, _ kernels: ElementwiseKernels
  ) {
    var arguments = GatedSumRow(
      base: x.row(row), gate: gate, update: values.row(row), result: result, count: x.columns)
    kernels.addGated(&arguments)
  }
}

/// The rows that enter products: stored ones, or ones that are made from stored ones while they are
/// packed, which saves writing them to memory and reading them again.
package struct ProductInput: @unchecked Sendable {
  /// How a row comes to be. Vectors have as many elements as a row.
  private enum Source {
    /// As it is stored.
    case stored
    /// With something added, normalized, then scaled by one more than `scale` and shifted.
    case modulated(
      RowStatistics, adding: GatedUpdate?, epsilon: Float, scale: UnsafePointer<Float>,
      shift: UnsafePointer<Float>)
    /// Divided by its root mean square and scaled.
    case rootMeanSquare(epsilon: Float, weight: [Float])
    /// An activation of it, times the same row of another matrix.
    case gated(Activation, values: Matrix)
  }

  private let x: Matrix
  private let source: Source

  package var rows: Int { x.rows }
  package var columns: Int { x.columns }

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
  ///   - scale: `[columns]`, valid until the products are made.
  ///   - shift: `[columns]`, valid until the products are made.
  ///   - epsilon: added to the variance.
  /// - Returns: rows that are made from `x` when they are packed.
  package static func modulated(
    _ x: Matrix, adding update: GatedUpdate? = nil,
    _ statistics: RowStatistics = .meanAndVariance, scale: UnsafePointer<Float>,
    shift: UnsafePointer<Float>, epsilon: Float
  ) -> ProductInput {
    precondition(update.map { $0.values.rows == x.rows && $0.values.columns == x.columns } ?? true)
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

  /// Some of the rows.
  func rows(_ range: Range<Int>) -> ProductInput {
    switch source {
    case .stored, .rootMeanSquare: ProductInput(x.rows(range), source)
    case .modulated(let statistics, let update, let epsilon, let scale, let shift):
      ProductInput(
        x.rows(range),
        .modulated(
          statistics, adding: update?.rows(range), epsilon: epsilon, scale: scale, shift: shift))
    case .gated(let activation, let values):
      ProductInput(x.rows(range), .gated(activation, values: values.rows(range)))
    }
  }

  /// Whether nothing has to be made.
  var isStored: Bool {
    if case .stored = source { return true }
    return false
  }

  /// Floats of memory in which so many rows are made.
  func scratchCount(rows: Int) -> Int { isStored ? 0 : rows * columns }

  /// Finds or makes some rows.
  ///
  /// - Parameters:
  ///   - range: rows.
  ///   - scratch: memory of `scratchCount` floats, in which rows lie that are not stored.
  ///   - kernels: that make them.
  /// - Returns: the first of the rows, and how many floats the next one is away.
  func made(
    _ range: Range<Int>, scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) -> (first: UnsafePointer<Float>, stride: Int) {
    if isStored { return (UnsafePointer(x.row(range.lowerBound)), x.stride) }
    for (index, row) in range.enumerated() {
      make(row, into: scratch + index * columns, kernels.elementwise)
    }
    return (UnsafePointer(scratch), columns)
  }

  private func make(
    _ row: Int, into result: UnsafeMutablePointer<Float>, _ kernels: ElementwiseKernels
  ) {
    switch source {
    case .stored: result.update(from: x.row(row), count: columns)
    case .modulated(let statistics, let update, let epsilon, let scale, let shift):
      var arguments = NormalizedRow(
        statistics, source: x.row(row), epsilon: epsilon, weight: scale, weightOffset: 1,
        shift: shift, result: result, count: columns)
      if let update {
        update.add(to: x, row: row, into: result, kernels)
        arguments.source = UnsafePointer(result)
      }
      kernels.normalize(&arguments)
    case .rootMeanSquare(let epsilon, let weight):
      weight.withUnsafeBufferPointer { weight in
        var arguments = NormalizedRow(
          .rootMeanSquare, source: x.row(row), epsilon: epsilon, weight: weight.baseAddress,
          result: result, count: columns)
        kernels.normalize(&arguments)
      }
    case .gated(let activation, let values):
      var arguments = ActivatedRow(
        activation, source: x.row(row), factor: values.row(row), result: result, count: columns)
      kernels.activate(&arguments)
    }
  }

  /// The rows as a matrix.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func stored(on pool: ThreadPool) throws(ComputeError) -> Matrix {
    if isStored { return x }
    let result = try Matrix(rows: rows, columns: columns)
    try store(into: result, on: pool)
    return result
  }

  /// Writes all rows to a matrix of their own.
  ///
  /// - Parameters:
  ///   - y: `[rows, columns]`, overwritten; may be what the rows are made from.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError` if the pool is cancelled.
  package func store(into y: Matrix, on pool: ThreadPool) throws(ComputeError) {
    precondition(y.rows == rows && y.columns == columns)
    try pool.run(ranges: rows, grain: 16) { range in
      for row in range { make(row, into: y.row(row), pool.kernels.elementwise) }
    }
  }
}
