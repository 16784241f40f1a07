/// Products with weights to which adapters add something: products with stored weights, and with
/// what is added.
extension ComputeDevice {
  /// Multiplies by weights with updates.
  ///
  /// Without updates it is one call of `multiply`. Else the stored weights come first, in one call
  /// by themselves: how they are computed does not change. Then come, in calls for all weights
  /// together, the factors of low rank that take the same input (factors that several weights share
  /// only once), and what they make is multiplied by the others and added.
  ///
  /// - Parameters:
  ///   - input: the rows.
  ///   - products: what they are multiplied by.
  ///   - multiply: multiplies by weights without updates.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package func multiplyUpdated(
    _ input: ProductInput, by products: [Product],
    _ multiply: (ProductInput, [Product]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    guard products.contains(where: { !$0.weight.updates.isEmpty }) else {
      return try multiply(input, products)
    }
    try multiply(
      input,
      products.map { product in
        product.accumulates
          ? Product(product.weight.stored, addingTo: product.result)
          : Product(
            product.weight.stored, bias: product.weight.hasRowFactors ? nil : product.bias,
            into: product.result)
      })
    for product in products where product.weight.hasRowFactors { try scaleRows(of: product) }
    try addLowRank(input, products, multiply)
    let others = products.flatMap { product in
      product.weight.updates.filter(\.needsRows).map { (product, $0) }
    }
    guard !others.isEmpty else { return }
    let rows = try storedRows(of: input)
    for (product, update) in others { try add(update, of: product, rows, multiply) }
  }

  /// Multiplies the stored weight's product by factors, one more than those of updates, and adds
  /// the bias.
  private func scaleRows(of product: Product) throws(ComputeError) {
    let count = product.weight.rows
    var sums = [Float](repeating: 0, count: count)
    for update in product.weight.updates {
      guard case .rowFactors(let factors) = update.term else { continue }
      for (row, factor) in zip(update.rows, factors) { sums[row] += factor }
    }
    let scale = try matrix(sums, rows: 1, columns: count)
    let shift = try matrix(
      product.bias ?? [Float](repeating: 0, count: count), rows: 1, columns: count)
    try store(
      .modulated(product.result, .none, scale: scale, shift: shift, epsilon: 0),
      into: product.result)
  }

  /// Adds what factors of low rank add.
  private func addLowRank(
    _ input: ProductInput, _ products: [Product],
    _ multiply: (ProductInput, [Product]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    var downs: [(weight: WeightMatrix, columns: Range<Int>)] = []
    var ups: [(weight: WeightMatrix, down: Int, result: Matrix)] = []
    var width = 0
    for product in products {
      for update in product.weight.updates {
        guard case .lowRank(let down, let up) = update.term else { continue }
        var place = downs.firstIndex { $0.weight.isSame(as: down) }
        if place == nil {
          place = downs.count
          downs.append((down, width..<width + down.rows))
          width += down.rows
        }
        ups.append((up, place ?? 0, product.result.columns(update.rows)))
      }
    }
    guard !ups.isEmpty else { return }
    let inner = try matrix(rows: input.rows, columns: width)
    try multiply(input, downs.map { Product($0.weight, into: inner.columns($0.columns)) })
    for up in ups {
      let rows = ProductInput(inner.columns(downs[up.down].columns))
      try multiply(rows, [Product(up.weight, addingTo: up.result)])
    }
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

extension WeightMatrix {
  fileprivate var hasRowFactors: Bool {
    updates.contains { if case .rowFactors = $0.term { true } else { false } }
  }

  /// Whether another weight is of the same bytes.
  fileprivate func isSame(as other: WeightMatrix) -> Bool {
    rows == other.rows && columns == other.columns && scale == other.scale
      && segments.count == other.segments.count
      && zip(segments, other.segments).allSatisfy {
        $0.storage === $1.storage && $0.offset == $1.offset && $0.type == $1.type
          && $0.rows == $1.rows
      }
  }
}
