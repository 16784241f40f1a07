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

/// Normalizes groups of channels to mean 0 and variance 1, with affine part and activation.
///
/// Statistics are exact over the whole group: sums of short runs in float32, of runs in float64.
///
/// - Parameters:
///   - image: `[channels, pixels]`, changed in place.
///   - groups: number of groups; divides the channels.
///   - weight: `[channels]`.
///   - bias: `[channels]`.
///   - epsilon: added to the variance.
///   - activation: whether SiLU follows.
///   - result: `[channels, pixels]`, overwritten; may be `image`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func groupNormalize(
  _ image: Matrix, groups: Int, weight: [Float], bias: [Float], epsilon: Float, activation: Bool,
  into result: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(image.rows % groups == 0 && weight.count == image.rows && bias.count == image.rows)
  let channels = image.rows / groups
  try pool.run(groups) { group, _ in
    let rows = group * channels..<(group + 1) * channels
    let count = Double(channels * image.columns)
    let mean = Float(longSum(image, rows: rows) { $0 } / count)
    let variance =
      longSum(image, rows: rows) { value in
        let difference = value - mean
        return difference * difference
      } / count
    let factor = 1 / Float(variance + Double(epsilon)).squareRoot()
    for row in rows {
      let scale = factor * weight[row]
      let offset = bias[row] - mean * scale
      mapLanes(image.row(row), image.row(row), into: result.row(row), count: image.columns) {
        x, _ in
        let y = x * scale + offset
        return activation ? silu(y) : y
      }
    }
  }
}

/// Sum over whole rows, in runs short enough for float32.
@inline(__always)
private func longSum(_ image: Matrix, rows: Range<Int>, _ function: (Lanes) -> Lanes) -> Double {
  var total = 0.0
  for row in rows {
    for start in stride(from: 0, to: image.columns, by: 4096) {
      let count = min(4096, image.columns - start)
      total += Double(sumLanes(image.row(row) + start, count: count, function))
    }
  }
  return total
}
