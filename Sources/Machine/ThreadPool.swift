import Dispatch
import Synchronization

/// Runs numbered tasks on a fixed number of threads, each with scratch memory of its own.
///
/// What a task computes must not depend on which thread runs it, nor on how many there are: then
/// results are the same bits for every thread count.
package final class ThreadPool: Sendable {
  /// Threads that work at once, the caller among them.
  package let threadCount: Int
  /// Scratch memory by worker; the lock also keeps concurrent callers apart.
  private let scratch: Mutex<[FloatBuffer?]>
  private let cancellation = Atomic(false)

  /// - Parameter threadCount: threads to work on; at least 1 is taken.
  package init(threadCount: Int) {
    self.threadCount = max(1, threadCount)
    scratch = Mutex(Array(repeating: nil, count: max(1, threadCount)))
  }

  /// Makes the running and every later `run` end early with `ComputeError.cancelled`.
  package func cancel() { cancellation.store(true, ordering: .relaxed) }

  /// Whether `cancel` was called.
  package var isCancelled: Bool { cancellation.load(ordering: .relaxed) }

  /// Frees the scratch memory.
  package func releaseMemory() {
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
