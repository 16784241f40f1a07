import BlockFormats
import Foundation
import Tensors

/// What one product of the benchmark took.
package struct MatrixProductResult: Sendable, Encodable {
  package let type: String
  /// Columns of the weight.
  package let `in`: Int
  /// Rows of the weight.
  package let out: Int
  /// Rows of activations.
  package let rows: Int
  /// `int8`, `int16` or `float32`: what the product computed with.
  package let activations: String
  package let threads: Int
  /// Median of the runs.
  package let seconds: Double
  /// 2 · in · out · rows over time.
  package let gflops: Double
  /// Bytes of the weight over time.
  package let gigabytesPerSecond: Double
  /// Share of what the limiting instruction could do, measured beside it.
  package let shareOfPeak: Double
}

/// Measures products with stored weights.
package struct MatrixProductBenchmark: Sendable {
  package let type: ElementType
  package let input: Int
  package let output: Int
  package let rows: Int

  package init(type: ElementType, input: Int, output: Int, rows: Int) {
    self.type = type
    self.input = input
    self.output = output
    self.rows = rows
  }

  /// Runs the product a few times after a first one that does not count.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func run(repetitions: Int, on pool: ThreadPool) throws(ComputeError)
    -> MatrixProductResult
  {
    let weight = RandomBlocks(type, rows: output, columns: input)
      .matrix(rows: output, columns: input)
    let x = try Matrix(rows: rows, columns: input)
    fillNormal(x)
    let y = try Matrix(rows: rows, columns: output)
    let median = try medianSeconds(repetitions) { () throws(ComputeError) in
      try multiply(x, by: weight, into: y, on: pool)
    }
    let operations = 2 * Double(rows) * Double(input) * Double(output)
    let bytes = Double(output * (type.byteCount(elements: input) ?? 0))
    return MatrixProductResult(
      type: type.name, in: input, out: output, rows: rows,
      activations: ProductKind(type, pool.activations, pool.kernels).rawValue,
      threads: pool.threadCount, seconds: median,
      gflops: operations / median / 1e9, gigabytesPerSecond: bytes / median / 1e9,
      shareOfPeak: 0)
  }
}
