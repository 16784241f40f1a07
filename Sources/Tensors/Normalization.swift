/// Normalizes each row to mean 0 and variance 1, then scales and shifts it by the adaptive
/// modulation: `y = LayerNorm(x) · (1 + scale) + shift`.
///
/// - Parameters:
///   - x: `[rows, columns]`.
///   - scale: `[columns]`.
///   - shift: `[columns]`.
///   - epsilon: added to the variance.
///   - y: `[rows, columns]`, overwritten; may be `x`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func normalizeAndModulate(
  _ x: Matrix, scale: UnsafePointer<Float>, shift: UnsafePointer<Float>, epsilon: Float,
  into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(x.rows == y.rows && x.columns == y.columns)
  try pool.timing(.normalization) { () throws(ComputeError) in
    try pool.run(ranges: x.rows, grain: 16) { rows in
      for row in rows {
        normalize(x.row(row), count: x.columns, epsilon: epsilon, into: y.row(row))
        modulate(y.row(row), scale: scale, shift: shift, count: x.columns)
      }
    }
  }
}

/// `x · (1 + scale) + shift` on one row, in place.
package func modulate(
  _ x: UnsafeMutablePointer<Float>, scale: UnsafePointer<Float>, shift: UnsafePointer<Float>,
  count: Int
) {
  mapLanes(x, scale, into: x, count: count) { x, scale in x * (1 + scale) }
  mapLanes(x, shift, into: x, count: count) { x, shift in x + shift }
}

/// Normalizes each head of each row by itself to mean 0 and variance 1, without affine part.
///
/// - Parameters:
///   - x: `[rows, heads · headDimension]`, changed in place.
///   - headDimension: elements of one head.
///   - epsilon: added to the variance.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func normalizeHeads(
  _ x: Matrix, headDimension: Int, epsilon: Float, on pool: ThreadPool
) throws(ComputeError) {
  precondition(x.columns % headDimension == 0)
  try pool.timing(.normalization) { () throws(ComputeError) in
    try pool.run(ranges: x.rows, grain: 16) { rows in
      for row in rows {
        for start in stride(from: 0, to: x.columns, by: headDimension) {
          normalize(
            x.row(row) + start, count: headDimension, epsilon: epsilon, into: x.row(row) + start)
        }
      }
    }
  }
}

/// Divides each row by its root mean square and multiplies by a weight.
///
/// - Parameters:
///   - x: `[rows, columns]`.
///   - weight: `[columns]`.
///   - epsilon: added to the mean square.
///   - y: `[rows, columns]`, overwritten; may be `x`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func rootMeanSquareNormalize(
  _ x: Matrix, weight: [Float], epsilon: Float, into y: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(x.columns == weight.count && y.columns == weight.count && x.rows == y.rows)
  try pool.run(ranges: x.rows, grain: 16) { rows in
    for row in rows {
      let meanSquare = sumLanes(x.row(row), count: x.columns) { $0 * $0 } / Float(x.columns)
      let factor = 1 / (meanSquare + epsilon).squareRoot()
      mapLanes(x.row(row), weight, into: y.row(row), count: x.columns) { x, weight in
        weight * (x * factor)
      }
    }
  }
}

/// One row to mean 0 and variance 1.
private func normalize(
  _ x: UnsafePointer<Float>, count: Int, epsilon: Float, into y: UnsafeMutablePointer<Float>
) {
  let mean = sumLanes(x, count: count) { $0 } / Float(count)
  let variance =
    sumLanes(x, count: count) { value in
      let difference = value - mean
      return difference * difference
    } / Float(count)
  let factor = 1 / (variance + epsilon).squareRoot()
  mapLanes(x, x, into: y, count: count) { x, _ in (x - mean) * factor }
}
