import Compute
import KernelInterface
import Kernels
import Machine
import Synchronization

/// The CPU: kernels for its instruction sets on a thread pool.
package final class CPUDevice: Sendable {
  /// Threads to compute on; cancelling the pool ends the work.
  package let pool: ThreadPool
  /// Inner loops for this CPU.
  package let kernels: KernelSet
  /// How products quantize their activations.
  package let activations: ActivationPrecision
  /// Who is told of the work; nil for nobody.
  let observer: (any WorkObserver)?
  /// Buffers of products and attention that ended, for the next: new memory would have to be
  /// zeroed.
  private let spare = Mutex<[FloatBuffer]>([])
  /// Buffers of one product (codes, scales, sums, and of few rows sums of codes) and of attention
  /// (keys and values).
  private static let spareCount = 5

  /// - Parameters:
  ///   - pool: threads to compute on.
  ///   - activations: how products with quantized weights quantize their activations.
  ///   - kernels: inner loops that this CPU can run.
  ///   - observer: who is told of the work.
  package init(
    _ pool: ThreadPool, activations: ActivationPrecision = .auto,
    kernels: KernelSet = KernelSelection.current, observer: (any WorkObserver)? = nil
  ) {
    self.pool = pool
    self.activations = activations
    self.kernels = kernels
    self.observer = observer
  }

  /// A device with a pool of its own.
  package convenience init(
    threadCount: Int, activations: ActivationPrecision = .auto,
    kernels: KernelSet = KernelSelection.current, observer: (any WorkObserver)? = nil
  ) {
    self.init(
      ThreadPool(threadCount: threadCount), activations: activations, kernels: kernels,
      observer: observer)
  }

  /// Threads that work at once.
  package var threadCount: Int { pool.threadCount }

  /// Memory of at least some size, with undefined content.
  ///
  /// - Throws: `ComputeError.outOfMemory`.
  func borrow(count: Int) throws(ComputeError) -> FloatBuffer {
    let found = spare.withLock { spare -> FloatBuffer? in
      let index = spare.indices.filter { spare[$0].count >= count }
        .min { spare[$0].count < spare[$1].count }
      if let index { return spare.remove(at: index) }
      // What is allocated now will stand in for the largest that is too small.
      if let largest = spare.indices.max(by: { spare[$0].count < spare[$1].count }) {
        spare.remove(at: largest)
      }
      return nil
    }
    if let found { return found }
    return try FloatBuffer(count: count)
  }

  /// Takes back memory that `borrow` gave.
  func giveBack(_ buffer: FloatBuffer) {
    spare.withLock { spare in
      spare.append(buffer)
      guard spare.count > Self.spareCount else { return }
      // Larger ones can stand in for smaller ones.
      if let least = spare.indices.min(by: { spare[$0].count < spare[$1].count }) {
        spare.remove(at: least)
      }
    }
  }

  package func releaseMemory() {
    spare.withLock { $0 = [] }
    pool.releaseMemory()
    ProcessStatus.returnFreedMemory()
  }

  /// Runs tasks on the pool's threads; see `ThreadPool.run`.
  func run(
    _ count: Int, scratchCount: Int = 0,
    _ task: (_ index: Int, _ scratch: UnsafeMutablePointer<Float>) -> Void
  ) throws(ComputeError) {
    try pool.run(count, scratchCount: scratchCount, task)
  }

  /// Splits `0..<count` into ranges of at most `grain` and runs them as tasks.
  func run(
    ranges count: Int, grain: Int, _ task: (Range<Int>) -> Void
  ) throws(ComputeError) {
    try pool.run(ranges: count, grain: grain, task)
  }
}

extension CPUDevice: ComputeDevice {
  package func matrix(
    rows: Int, columns: Int, isTransient: Bool
  ) throws(ComputeError) -> Matrix {
    try Matrix(rows: rows, columns: columns, isTransient: isTransient)
  }

  package func write(_ values: [Float], to target: Matrix) throws(ComputeError) {
    precondition(values.count == target.rows * target.columns)
    values.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      for row in 0..<target.rows {
        target.row(row).update(from: base + row * target.columns, count: target.columns)
      }
    }
  }

  package func read(_ source: Matrix) throws(ComputeError) -> [Float] { source.values }

  package func copy(_ source: Matrix, to target: Matrix) throws(ComputeError) {
    precondition(source.rows == target.rows && source.columns == target.columns)
    for row in 0..<source.rows {
      target.row(row).update(from: source.row(row), count: source.columns)
    }
  }

  package func gather(
    _ rows: [Range<Int>], of table: WeightMatrix, into target: Matrix
  ) throws(ComputeError) {
    precondition(target.columns == table.columns && target.stride == target.columns)
    precondition(rows.reduce(0) { $0 + $1.count } == target.rows)
    var first = 0
    for range in rows {
      try table.decode(rows: range, into: target.row(first))
      first += range.count
    }
  }

  package func holding(
    _ stream: WeightStream, layer: Int, _ body: () throws(ComputeError) -> Void
  ) throws(ComputeError) {
    try stream.holding(layer: layer, body)
  }

  package var costs: any WorkspaceCosts { CPUCosts(threadCount: threadCount, kernels: kernels) }
}
