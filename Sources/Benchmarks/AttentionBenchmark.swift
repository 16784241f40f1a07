import Foundation
import Tensors

/// What attention over one picture's tokens took.
package struct AttentionResult: Sendable, Encodable {
  /// Queries and keys.
  package let tokens: Int
  package let heads: Int
  package let headDimension: Int
  package let threads: Int
  /// Median of the runs.
  package let seconds: Double
  /// 4 · heads · tokens² · head dimension over time.
  package let gflops: Double
}

/// Measures softmax attention.
package struct AttentionBenchmark: Sendable {
  package let tokens: Int
  package let heads: Int
  package let headDimension: Int

  package init(tokens: Int, heads: Int, headDimension: Int) {
    self.tokens = tokens
    self.heads = heads
    self.headDimension = headDimension
  }

  /// Runs attention a few times after a first one that does not count.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func run(repetitions: Int, on pool: ThreadPool) throws(ComputeError) -> AttentionResult {
    let columns = heads * headDimension
    let (q, k) = (
      try Matrix(rows: tokens, columns: columns), try Matrix(rows: tokens, columns: columns)
    )
    let v = try Matrix(rows: tokens, columns: columns)
    let result = try Matrix(rows: tokens, columns: columns)
    for matrix in [q, k, v] { fillNormal(matrix) }
    let sequences = [AttentionSequence(ranges: [0..<tokens])]
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      try attend(
        q, k, v, sequences: sequences, headDimension: headDimension,
        scale: 1 / Float(headDimension).squareRoot(), into: result, on: pool)
    }
    let operations = 4 * Double(columns) * Double(tokens) * Double(tokens)
    return AttentionResult(
      tokens: tokens, heads: heads, headDimension: headDimension, threads: pool.threadCount,
      seconds: seconds, gflops: operations / seconds / 1e9)
  }
}
