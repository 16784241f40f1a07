import COpenBLAS

/// Most floats of a decoded weight tile: it must stay in cache while all activation rows use it.
private let tileFloats = 3 << 18

/// Multiplies activations by a stored weight: `y = x · weightᵀ + bias`.
///
/// The weight is decoded tile by tile (some of its rows at a time), never as a whole.
///
/// - Parameters:
///   - x: `[rows, weight.columns]`.
///   - weight: `[out, in]`.
///   - bias: `[out]`, or nil.
///   - y: `[rows, weight.rows]`, overwritten.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func multiply(
  _ x: Matrix, by weight: WeightMatrix, bias: [Float]? = nil, into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(x.columns == weight.columns && y.columns == weight.rows && x.rows == y.rows)
  precondition(bias.map { $0.count == weight.rows } ?? true)
  guard x.rows > 0 else { return }
  let inner = weight.columns
  // Enough tiles to occupy every core, but none so thin that the product loses its speed.
  let tileRows = max(8, min(tileFloats / max(1, inner), max(32, (weight.rows + 7) / 8), 256))
  let tileCount = (weight.rows + tileRows - 1) / tileRows
  try pool.run(tileCount, scratchCount: tileRows * inner) { tile, scratch in
    let range = tile * tileRows..<min(weight.rows, (tile + 1) * tileRows)
    let floats: UnsafePointer<Float>
    if let stored = weight.floats(rows: range) {
      floats = stored
    } else {
      weight.decode(rows: range, into: scratch)
      floats = UnsafePointer(scratch)
    }
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, Int32(x.rows), Int32(range.count), Int32(inner),
      1, x.pointer, Int32(x.stride), floats, Int32(inner),
      0, y.pointer + range.lowerBound, Int32(y.stride))
    if let bias {
      for row in 0..<y.rows {
        let values = y.row(row)
        for column in range { values[column] += bias[column] }
      }
    }
  }
}
