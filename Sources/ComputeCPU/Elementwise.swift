import Compute
import KernelInterface
import Machine

extension CPUDevice {
  package func add(_ update: GatedUpdate, to x: Matrix) throws(ComputeError) {
    precondition(x.rows == update.values.rows && x.columns == update.values.columns)
    try timing(.sums) { () throws(ComputeError) in
      try run(ranges: x.rows, grain: 16) { rows in
        for row in rows { update.add(to: x, row: row, into: x.row(row), kernels.elementwise) }
      }
    }
  }

  package func apply(_ function: Activation, to x: Matrix) throws(ComputeError) {
    try run(ranges: x.rows, grain: 4) { rows in
      for row in rows {
        var arguments = ActivatedRow(
          function, source: x.row(row), result: x.row(row), count: x.columns)
        kernels.elementwise.activate(&arguments)
      }
    }
  }

  package func transpose(_ x: Matrix, into y: Matrix) throws(ComputeError) {
    precondition(x.rows == y.columns && x.columns == y.rows)
    try run(ranges: y.rows, grain: 64) { columns in
      for row in 0..<x.rows {
        let source = x.row(row)
        for column in columns { y.row(column)[row] = source[column] }
      }
    }
  }

  package func store(_ input: ProductInput, into y: Matrix) throws(ComputeError) {
    try input.store(into: y, on: self)
  }
}
