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

  package func add(_ mixture: BlockMixture, to y: Matrix) throws(ComputeError) {
    let (width, columns) = (mixture.width, mixture.leftColumns)
    precondition(y.rows == mixture.source.rows && y.columns == mixture.window.count)
    precondition(mixture.source.columns == width * columns)
    precondition(mixture.window.upperBound * columns <= mixture.left.count * width)
    try run(ranges: y.rows, grain: 4) { rows in
      for row in rows {
        let (target, source) = (y.row(row) - mixture.window.lowerBound, mixture.source.row(row))
        var first = mixture.window.lowerBound
        while first < mixture.window.upperBound {
          let block = first / width
          let end = min(mixture.window.upperBound, (block + 1) * width)
          for index in 0..<columns {
            let factor = mixture.left[block * columns + index]
            let values = source + (index - block) * width
            for output in first..<end { target[output] += factor * values[output] }
          }
          first = end
        }
      }
    }
  }
}
