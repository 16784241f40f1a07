import BlockFormats
import KernelInterface

/// Bytes of packed activations that stay in the last-level cache while panel after panel of a
/// weight meets them. Without such a bound, 4200 rows took twice as long for each as 1088.
private let packedBytes = 6 << 20

/// Rows of activations that are packed at once: whole tiles of every kernel set, and enough to
/// spread the cost of unpacking a panel.
private func rowsPerPass(_ products: [SegmentProduct], columns: Int) -> Int {
  let bytes = (products.map(\.packing.kind.bytesPerElement).max() ?? 4) * max(1, columns)
  return min(1152, max(288, packedBytes / bytes / 48 * 48))
}

/// Bytes that `multiply` allocates beside its arguments, at most.
package func productWorkspace(rows: Int, columns: Int, on pool: ThreadPool) -> Int {
  let (kind, kernels) = (ProductKind.float, pool.kernels)
  let width = WeightPanel.width(kind: kind, columns: columns, kernels: kernels)
  let panel = WeightPanel.scratchCount(kind: kind, width: width, kernels: kernels)
  let packed = min((rows + kernels.rowTile) * columns * 4, max(packedBytes, 288 * columns * 4))
  // A thread packs a tile of rows that it makes itself, or holds a panel.
  let scratch = max(
    panel + kernels.rowTile * kernels.columnTile,
    min(rows, kernels.rowTile) * columns + kernels.rowTile * width)
  return packed + 4 * pool.threadCount * scratch
}

/// A stored weight to multiply by, and where the result goes: `result = x · weightᵀ + bias`.
package struct Product {
  let weight: WeightMatrix
  let bias: [Float]?
  let result: Matrix

  /// - Parameters:
  ///   - weight: `[out, in]`.
  ///   - bias: `[out]`, or nil.
  ///   - result: `[rows, out]`, overwritten; must not overlap what the input is made from.
  package init(_ weight: WeightMatrix, bias: [Float]? = nil, into result: Matrix) {
    precondition(result.columns == weight.rows && bias?.count ?? weight.rows == weight.rows)
    self.weight = weight
    self.bias = bias
    self.result = result
  }
}

/// Multiplies activations by a stored weight: `y = x · weightᵀ + bias`.
///
/// - Parameters:
///   - x: `[rows, weight.columns]`.
///   - weight: `[out, in]`.
///   - bias: `[out]`, or nil.
///   - y: `[rows, weight.rows]`, overwritten; must not overlap `x`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func multiply(
  _ x: Matrix, by weight: WeightMatrix, bias: [Float]? = nil, into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  try multiply(ProductInput(x), by: [Product(weight, bias: bias, into: y)], on: pool)
}

/// Multiplies activations by stored weights.
///
/// Activations are packed (and rounded, see `ActivationPrecision`) once for all weights that take
/// them alike, then each thread takes tiles of outputs: it unpacks a panel of the weight into its
/// cache and uses it for all rows. The result does not depend on the number of threads, nor a row
/// on the rows beside it, nor a product on those made with it.
///
/// - Parameters:
///   - input: `[rows, in]`.
///   - products: weights with equal `in`, and where their results go.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func multiply(
  _ input: ProductInput, by products: [Product], on pool: ThreadPool
) throws(ComputeError) {
  for product in products {
    precondition(input.columns == product.weight.columns && input.rows == product.result.rows)
  }
  if let sums = pool.activationSums {
    try sums.add(input, of: products.map(\.weight.name), on: pool)
  }
  let segments = products.flatMap { SegmentProduct.segments(of: $0, on: pool) }
  try pool.timing(.products) { () throws(ComputeError) in
    try withBytes(of: segments[...]) { (bytes) throws(ComputeError) in
      try multiply(input, by: Array(zip(segments, bytes)), on: pool)
    }
  }
}

/// Calls `body` with the bytes of all segments, which are in memory together. So are all of a held
/// layer anyway.
private func withBytes(
  of segments: ArraySlice<SegmentProduct>, _ found: [UnsafeRawPointer] = [],
  _ body: ([UnsafeRawPointer]) throws(ComputeError) -> Void
) throws(ComputeError) {
  guard let first = segments.first else { return try body(found) }
  try first.withBytes { (bytes) throws(ComputeError) in
    try withBytes(of: segments.dropFirst(), found + [bytes], body)
  }
}

/// Most rows that go straight through a weight's blocks, one by one. With three a panel is the faster
/// way for every type that was measured, with two for none.
private let fewRows = 2

private func multiply(
  _ input: ProductInput, by segments: [(product: SegmentProduct, bytes: UnsafeRawPointer)],
  on pool: ThreadPool
) throws(ComputeError) {
  guard input.rows <= fewRows else { return try multiplyTiles(input, by: segments, on: pool) }
  let x = try input.stored(on: pool)
  for (product, bytes) in segments where try !product.runRows(bytes, x, on: pool) {
    try multiplyTiles(ProductInput(x), by: [(product, bytes)], on: pool)
  }
}

/// Packs as many rows as stay in cache, and multiplies them by all segments.
private func multiplyTiles(
  _ input: ProductInput, by segments: [(product: SegmentProduct, bytes: UnsafeRawPointer)],
  on pool: ThreadPool
) throws(ComputeError) {
  let step = rowsPerPass(segments.map(\.product), columns: input.columns)
  for start in stride(from: 0, to: input.rows, by: step) {
    let rows = start..<min(input.rows, start + step)
    var packed: PackedActivations?
    defer { packed?.giveBack(to: pool) }
    for (product, bytes) in segments {
      if packed.map({ $0.packing != product.packing }) ?? true {
        packed?.giveBack(to: pool)
        packed = nil
        packed = try PackedActivations(input.rows(rows), product.packing, on: pool)
      }
      if let packed { try product.run(bytes, packed, rows: rows, on: pool) }
    }
  }
}
