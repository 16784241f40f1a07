/// The function inside a gated linear unit.
package enum GateActivation: Sendable {
  /// `x · σ(x)`.
  case silu
  /// GELU, tanh approximation.
  case geluTanh
}

/// `gate = activation(gate) · value`, element by element.
///
/// - Parameters:
///   - activation: the function on `gate`.
///   - gate: `[rows, columns]`, changed in place.
///   - value: `[rows, columns]`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func applyGate(
  _ activation: GateActivation, to gate: Matrix, times value: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(gate.rows == value.rows && gate.columns == value.columns)
  try pool.timing(.gates) { () throws(ComputeError) in
    try pool.run(ranges: gate.rows, grain: 8) { rows in
      for row in rows {
        let (a, b) = (gate.row(row), value.row(row))
        switch activation {
        case .silu: mapLanes(a, b, into: a, count: gate.columns) { silu($0) * $1 }
        case .geluTanh: mapLanes(a, b, into: a, count: gate.columns) { geluTanh($0) * $1 }
        }
      }
    }
  }
}

/// `y = base + gate · update`, with one gate per column.
///
/// - Parameters:
///   - update: `[rows, columns]`.
///   - gate: `[columns]`.
///   - base: `[rows, columns]`.
///   - y: `[rows, columns]`, overwritten; may be `update` or `base`.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func addGated(
  _ update: Matrix, gate: UnsafePointer<Float>, to base: Matrix, into y: Matrix,
  on pool: ThreadPool
) throws(ComputeError) {
  precondition(update.rows == base.rows && y.rows == base.rows && update.columns == base.columns)
  try pool.timing(.gates) { () throws(ComputeError) in
    try pool.run(ranges: base.rows, grain: 16) { rows in
      for row in rows {
        let result = y.row(row)
        // `update` may be `y`: multiply into it first, then add.
        mapLanes(update.row(row), gate, into: update.row(row), count: base.columns) { $0 * $1 }
        mapLanes(base.row(row), update.row(row), into: result, count: base.columns) { $0 + $1 }
      }
    }
  }
}

/// `x += y`, element by element.
package func add(_ y: Matrix, to x: Matrix, on pool: ThreadPool) throws(ComputeError) {
  precondition(x.rows == y.rows && x.columns == y.columns)
  try pool.run(ranges: x.rows, grain: 16) { rows in
    for row in rows {
      mapLanes(x.row(row), y.row(row), into: x.row(row), count: x.columns) { $0 + $1 }
    }
  }
}

/// `x = max(x, 0)`, element by element.
package func rectify(_ x: Matrix, on pool: ThreadPool) throws(ComputeError) {
  try pool.run(ranges: x.rows, grain: 4) { rows in
    for row in rows {
      mapLanes(x.row(row), x.row(row), into: x.row(row), count: x.columns) { value, _ in
        value.replacing(with: 0, where: value .< 0)
      }
    }
  }
}

/// `x = x · σ(x)`, element by element.
package func applySiLU(_ x: Matrix) {
  for row in 0..<x.rows {
    mapLanes(x.row(row), x.row(row), into: x.row(row), count: x.columns) { value, _ in
      silu(value)
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
