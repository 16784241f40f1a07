import Compute
import ComputeCPU
import Foundation

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
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func run(repetitions: Int, on device: CPUDevice) throws(ComputeError) -> AttentionResult {
    let columns = heads * headDimension
    let (q, k) = (
      try Matrix(rows: tokens, columns: columns), try Matrix(rows: tokens, columns: columns)
    )
    let v = try Matrix(rows: tokens, columns: columns)
    let result = try Matrix(rows: tokens, columns: columns)
    for matrix in [q, k, v] { fillNormal(matrix) }
    let attention = Attention(
      q, k, v, sequences: [AttentionSequence(ranges: [0..<tokens])], headDimension: headDimension,
      scale: 1 / Float(headDimension).squareRoot())
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      try device.attend(attention, into: result)
    }
    let operations = 4 * Double(columns) * Double(tokens) * Double(tokens)
    return AttentionResult(
      tokens: tokens, heads: heads, headDimension: headDimension, threads: device.threadCount,
      seconds: seconds, gflops: operations / seconds / 1e9)
  }
}
