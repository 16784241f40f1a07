import Dispatch
import Foundation
import KernelInterface
import Kernels
import Synchronization

/// Runs numbered tasks on a fixed number of threads, each with scratch memory of its own.
///
/// What a task computes must not depend on which thread runs it, nor on how many there are: then
/// results are the same bits for every thread count.
package final class ThreadPool: Sendable {
  /// Threads that work at once, the caller among them.
  package let threadCount: Int
  /// Inner loops for this CPU.
  package let kernels: KernelSet
  /// How products round their activations.
  package let activations: ActivationPrecision
  /// Where times are added up; nil for no measuring.
  package let profile: WorkProfile?
  /// Where the inputs of products are added up; nil for nowhere.
  package let activationSums: ActivationSums?
  /// Scratch memory by worker; the lock also keeps concurrent callers apart.
  private let scratch: Mutex<[FloatBuffer?]>
  private let cancellation = Atomic(false)
  /// Memory of products and attention that ended, for the next: new memory would have to be cleared.
  private let spare = Mutex<[FloatBuffer]>([])
  /// Buffers of one product (codes, scales, sums, and of few rows sums of codes) and of attention
  /// (keys and values).
  private static let spareCount = 5

  /// - Parameters:
  ///   - threadCount: threads to work on; at least 1 is taken.
  ///   - activations: how products with quantized weights round their activations.
  ///   - kernels: inner loops that this CPU can run.
  ///   - profile: where times are added up, if they are to be measured.
  ///   - activationSums: where the inputs of products are added up, if they are to be measured.
  package init(
    threadCount: Int, activations: ActivationPrecision = .auto,
    kernels: KernelSet = KernelSelection.current, profile: WorkProfile? = nil,
    activationSums: ActivationSums? = nil
  ) {
    self.threadCount = max(1, threadCount)
    self.activations = activations
    self.kernels = kernels
    self.profile = profile
    self.activationSums = activationSums
    scratch = Mutex(Array(repeating: nil, count: max(1, threadCount)))
  }

  /// Makes the running and every later `run` end early with `ComputeError.cancelled`.
  package func cancel() { cancellation.store(true, ordering: .relaxed) }

  /// Whether `cancel` was called.
  package var isCancelled: Bool { cancellation.load(ordering: .relaxed) }

  /// Memory of at least some size, with undefined content.
  ///
  /// - Throws: `ComputeError.outOfMemory`.
  func borrow(count: Int) throws(ComputeError) -> FloatBuffer {
    let found = spare.withLock { spare -> FloatBuffer? in
      let index = spare.indices.filter { spare[$0].count >= count }
        .min { spare[$0].count < spare[$1].count }
      return index.map { spare.remove(at: $0) }
    }
    if let found { return found }
    return try FloatBuffer(count: count)
  }

  /// Takes memory back that `borrow` gave.
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

  /// Gives memory between tasks back to the system.
  package func releaseMemory() {
    spare.withLock { $0 = [] }
    scratch.withLock { buffers in
      for index in buffers.indices { buffers[index] = nil }
    }
  }

  /// Runs tasks `0..<count`, each once, and returns when all are done.
  ///
  /// - Parameters:
  ///   - count: number of tasks; they are claimed one by one.
  ///   - scratchCount: floats of scratch memory that each task may use.
  ///   - task: called with a task's number and the scratch memory of the worker that runs it.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func run(
    _ count: Int, scratchCount: Int = 0,
    _ task: (_ index: Int, _ scratch: UnsafeMutablePointer<Float>) -> Void
  ) throws(ComputeError) {
    guard count > 0 else { return }
    let result: Result<Void, ComputeError> = scratch.withLock { buffers in
      Result { () throws(ComputeError) in
        let workers = min(threadCount, count)
        for worker in 0..<workers where (buffers[worker]?.count ?? -1) < scratchCount {
          buffers[worker] = nil
          buffers[worker] = try FloatBuffer(count: scratchCount)
        }
        let ready = buffers.compactMap { $0 }
        let next = Atomic(0)
        withoutActuallyEscaping(task) { task in
          // Tasks write to disjoint memory through raw pointers, which the compiler cannot see.
          nonisolated(unsafe) let task = task
          DispatchQueue.concurrentPerform(iterations: workers) { worker in
            while !isCancelled {
              let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
              guard index < count else { return }
              task(index, ready[worker].pointer)
            }
          }
        }
      }
    }
    try result.get()
    if isCancelled { throw .cancelled }
  }

  /// Splits `0..<count` into ranges of at most `grain` and runs them as tasks.
  package func run(
    ranges count: Int, grain: Int, _ task: (Range<Int>) -> Void
  ) throws(ComputeError) {
    try run((count + grain - 1) / grain) { index, _ in
      task(index * grain..<min(count, (index + 1) * grain))
    }
  }
}
