import KernelInterface

/// A function between products.
package typealias Activation = KernelInterface.Activation

/// `x += y`, element by element.
package func add(_ y: Matrix, to x: Matrix, on pool: ThreadPool) throws(ComputeError) {
  try add(GatedUpdate(y), to: x, on: pool)
}

/// `x += gate · values`.
///
/// - Parameters:
///   - update: `[rows, columns]` with its gate.
///   - x: `[rows, columns]`, changed in place.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if the pool is cancelled.
package func add(_ update: GatedUpdate, to x: Matrix, on pool: ThreadPool) throws(ComputeError) {
  precondition(x.rows == update.values.rows && x.columns == update.values.columns)
  try pool.timing(.sums) { () throws(ComputeError) in
    try pool.run(ranges: x.rows, grain: 16) { rows in
      for row in rows { update.add(to: x, row: row, into: x.row(row), pool.kernels.elementwise) }
    }
  }
}

/// `x = function(x)`, element by element.
package func activate(
  _ function: Activation, to x: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  try pool.run(ranges: x.rows, grain: 4) { rows in
    for row in rows {
      var arguments = ActivatedRow(
        function, source: x.row(row), result: x.row(row), count: x.columns)
      pool.kernels.elementwise.activate(&arguments)
    }
  }
}

/// Writes the transpose of a matrix.
///
/// - Parameters:
///   - x: `[rows, columns]`.
///   - y: `[columns, rows]`, overwritten.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func transpose(_ x: Matrix, into y: Matrix, on pool: ThreadPool) throws(ComputeError) {
  precondition(x.rows == y.columns && x.columns == y.rows)
  try pool.run(ranges: y.rows, grain: 64) { columns in
    for row in 0..<x.rows {
      let source = x.row(row)
      for column in columns { y.row(column)[row] = source[column] }
    }
  }
}
