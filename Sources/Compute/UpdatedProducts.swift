/// Products with weights to which adapters add something: products with stored weights, and with
/// what is added.
extension ComputeDevice {
  /// Multiplies by weights with updates.
  ///
  /// The stored weights come first, with what can be added while a device has their products at
  /// hand: factors of low rank, and factors of rows. How the stored weights' products are computed
  /// does not change. What needs the input's rows follows in products of its own.
  ///
  /// - Parameters:
  ///   - input: the rows.
  ///   - products: what they are multiplied by.
  ///   - multiply: multiplies by weights whose updates, if they have any, are of low rank or
  ///     factors of rows.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package func multiplyUpdated(
    _ input: ProductInput, by products: [Product],
    _ multiply: (ProductInput, [Product]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    let others = products.flatMap { product in
      product.weight.updates.filter(\.needsRows).map { (product, $0) }
    }
    guard !others.isEmpty else { return try multiply(input, products) }
    try multiply(input, products.map(\.withoutUpdatesOfRows))
    let rows = try storedRows(of: input)
    for (product, update) in others { try add(update, of: product, rows, multiply) }
  }

  /// The rows of an input one after the other in memory.
  private func storedRows(of input: ProductInput) throws(ComputeError) -> Matrix {
    if input.isStored, input.x.stride == input.x.columns { return input.x }
    let rows = try matrix(rows: input.rows, columns: input.columns)
    try store(input, into: rows)
    return rows
  }

  /// Adds what an update adds that needs the rows themselves.
  private func add(
    _ update: WeightUpdate, of product: Product, _ x: Matrix,
    _ multiply: (ProductInput, [Product]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    let result = product.result.columns(update.rows)
    switch update.term {
    case .lowRank, .rowFactors: break
    case .dense(let matrix): try multiply(ProductInput(x), [Product(matrix, addingTo: result)])
    case .kronecker(let kronecker):
      guard let blocks = x.cut(into: kronecker.leftColumns) else { return }
      let made = try matrix(rows: blocks.rows, columns: kronecker.right.rows)
      try multiply(ProductInput(blocks), [Product(kronecker.right, into: made)])
      guard let source = made.joined(kronecker.leftColumns) else { return }
      try add(
        BlockMixture(
          left: kronecker.left, leftColumns: kronecker.leftColumns, source: source,
          width: kronecker.right.rows, window: kronecker.window), to: result)
    case .columnFactors(let factors):
      // Modulation multiplies by one more than the scale.
      let scale = try matrix(factors.map { $0 - 1 }, rows: 1, columns: factors.count)
      let shift = try matrix(
        [Float](repeating: 0, count: factors.count), rows: 1, columns: factors.count)
      let scaled = ProductInput.modulated(x, .none, scale: scale, shift: shift, epsilon: 0)
      let weight = product.weight.stored.rows(update.rows)
      try multiply(scaled, [Product(weight, addingTo: result)])
    }
  }
}

extension WeightUpdate {
  /// Whether it is added in a way of its own.
  fileprivate var needsRows: Bool {
    switch term {
    case .lowRank, .rowFactors: false
    case .dense, .kronecker, .columnFactors: true
    }
  }
}

extension Product {
  /// The same without what needs the input's rows.
  fileprivate var withoutUpdatesOfRows: Product {
    Product(
      weight.stored.updated(by: weight.updates.filter { !$0.needsRows }), bias: bias, into: result)
  }
}

extension WeightMatrix {
  /// What adapters multiply each row by; nil for nothing.
  package var rowFactors: [Float]? {
    var sums: [Float]?
    for update in updates {
      guard case .rowFactors(let factors) = update.term else { continue }
      var all = sums ?? [Float](repeating: 1, count: rows)
      for (row, factor) in zip(update.rows, factors) { all[row] += factor }
      sums = all
    }
    return sums
  }

  /// Ranks of all factors of low rank that are added to it, those that are shared counted by each
  /// of its segments that they are for.
  package var ranks: [Int] {
    var ranks: [Int] = []
    var first = 0
    for segment in segments {
      for update in updates where update.rows.overlaps(first..<first + segment.rows) {
        if case .lowRank(let down, _) = update.term { ranks.append(down.rows) }
      }
      first += segment.rows
    }
    return ranks
  }

  /// Whether another weight is of the same bytes.
  package func isSame(as other: WeightMatrix) -> Bool {
    rows == other.rows && columns == other.columns && scale == other.scale
      && segments.count == other.segments.count
      && zip(segments, other.segments).allSatisfy {
        $0.storage === $1.storage && $0.offset == $1.offset && $0.type == $1.type
          && $0.rows == $1.rows
      }
  }
}
