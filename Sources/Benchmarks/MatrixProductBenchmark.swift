import BlockFormats
import Compute
import ComputeCPU
import Foundation
import KernelInterface
import Synchronization

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
  /// OpenBLAS's time for the same product in float32 over this one; nil if it was not measured.
  package let timesOpenBLAS: Double?
}

/// Measures products of one shape with stored weights.
package struct MatrixProductBenchmark: Sendable {
  package let input: Int
  package let output: Int
  package let rows: Int

  package init(input: Int, output: Int, rows: Int) {
    self.input = input
    self.output = output
    self.rows = rows
  }

  /// The median time of the product in float32 by OpenBLAS; nil where that is not installed.
  ///
  /// - Throws: `ComputeError` if memory runs out.
  package func denseSeconds(repetitions: Int, threads: Int) throws(ComputeError) -> Double? {
    try DenseProduct(rows: rows, input: input, output: output)
      .seconds(repetitions: repetitions, threads: threads)
  }

  /// Runs the product with a weight of some type, a few times after a first one that does not
  /// count.
  ///
  /// - Parameters:
  ///   - type: of the weight.
  ///   - repetitions: runs of which the median counts.
  ///   - denseSeconds: what OpenBLAS takes, if that is known.
  ///   - device: where to compute.
  /// - Returns: what it took.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func run(
    _ type: ElementType, repetitions: Int, denseSeconds: Double?, on device: CPUDevice
  ) throws(ComputeError) -> MatrixProductResult {
    let weight = RandomBlocks(type, rows: output, columns: input)
      .matrix(rows: output, columns: input)
    let x = try Matrix(rows: rows, columns: input)
    fillNormal(x)
    let y = try Matrix(rows: rows, columns: output)
    let kind = ProductKind(type, device.activations, device.kernels)
    let peak = try operationsPerSecond(kind, on: device)
    let median = try medianSeconds(repetitions) { () throws(ComputeError) in
      try device.multiply(x, by: weight, into: y)
    }
    let operations = 2 * Double(rows) * Double(input) * Double(output)
    let bytes = Double(output * (type.byteCount(elements: input) ?? 0))
    return MatrixProductResult(
      type: type.name, in: input, out: output, rows: rows,
      activations: kind.rawValue, threads: device.threadCount, seconds: median,
      gflops: operations / median / 1e9, gigabytesPerSecond: bytes / median / 1e9,
      shareOfPeak: operations / median / peak, timesOpenBLAS: denseSeconds.map { $0 / median })
  }

  /// What the instruction that bounds a kind of product reaches on all threads with its operands
  /// in registers: the best of a few short runs.
  private func operationsPerSecond(
    _ kind: ProductKind, on device: CPUDevice
  ) throws(ComputeError) -> Double {
    let instruction: PeakInstruction =
      switch kind {
      case .float: .float
      case .int8, .int8Blocks: .int8
      case .int16: .int16
      }
    var best = 0.0
    for _ in 0..<9 {
      let total = Mutex(0.0)
      let start = ContinuousClock.now
      try device.pool.run(device.threadCount) { _, _ in
        let operations = device.kernels.runPeakLoop(instruction, 4_000_000)
        total.withLock { $0 += operations }
      }
      best = max(best, total.withLock { $0 } / ((ContinuousClock.now - start) / .seconds(1)))
    }
    return best
  }
}
