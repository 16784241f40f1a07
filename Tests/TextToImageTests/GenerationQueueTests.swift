import Synchronization
import Testing
import TextToImage

@Suite("The queue of generations") struct GenerationQueueTests {
  /// Who had turns, and how many at once.
  private final class Log: Sendable {
    private let state = Mutex<(order: [Int], running: Int, most: Int)>(([], 0, 0))

    var order: [Int] { state.withLock { $0.order } }
    var most: Int { state.withLock { $0.most } }

    func begin(_ number: Int) {
      state.withLock { state in
        state.order.append(number)
        state.running += 1
        state.most = max(state.most, state.running)
      }
    }

    func end() { state.withLock { $0.running -= 1 } }
  }

  /// Waits until so many tasks wait in a queue.
  private func waiting(_ count: Int, in queue: GenerationQueue) async throws {
    for _ in 0..<2000 where queue.waitingCount != count {
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(queue.waitingCount == count)
  }

  @Test("turns are given in the order in which tasks came, one at a time")
  func order() async throws {
    let queue = GenerationQueue(capacity: 20)
    try await queue.enter()
    let log = Log()
    try await withThrowingTaskGroup { group in
      for number in 0..<20 {
        group.addTask {
          try await queue.enter()
          log.begin(number)
          await Task.yield()
          log.end()
          queue.leave()
        }
        try await waiting(number + 1, in: queue)
      }
      queue.leave()
      try await group.waitForAll()
    }
    #expect(log.order == Array(0..<20))
    #expect(log.most == 1)
    // Free again.
    try await queue.enter()
    queue.leave()
  }

  @Test("what is beyond the bound is refused at once")
  func bound() async throws {
    let queue = GenerationQueue(capacity: 1)
    try await queue.enter()
    let first = Task { try await queue.enter() }
    try await waiting(1, in: queue)
    await #expect(throws: GenerationQueue.Refusal.full(waiting: 1)) { try await queue.enter() }
    queue.leave()
    try await first.value
    queue.leave()
  }

  @Test("cancelling ends waiting, and nobody else's turn is lost")
  func cancellation() async throws {
    let queue = GenerationQueue(capacity: 8)
    try await queue.enter()
    let cancelled = Task { try await queue.enter() }
    try await waiting(1, in: queue)
    let next = Task { try await queue.enter() }
    try await waiting(2, in: queue)
    cancelled.cancel()
    await #expect(throws: GenerationQueue.Refusal.cancelled) { try await cancelled.value }
    #expect(queue.waitingCount == 1)
    queue.leave()
    try await next.value
    queue.leave()
  }

  @Test("a task that was cancelled before gets no turn while another has it")
  func cancelledBefore() async throws {
    let queue = GenerationQueue(capacity: 8)
    try await queue.enter()
    let task = Task {
      while !Task.isCancelled { await Task.yield() }
      try await queue.enter()
    }
    task.cancel()
    await #expect(throws: GenerationQueue.Refusal.cancelled) { try await task.value }
    #expect(queue.waitingCount == 0)
    queue.leave()
  }

  @Test("many tasks that come, wait and are cancelled leave a free queue")
  func storm() async throws {
    let queue = GenerationQueue(capacity: 1000)
    let log = Log()
    await withTaskGroup { group in
      for number in 0..<400 {
        let task = Task {
          do throws(GenerationQueue.Refusal) {
            try await queue.enter()
          } catch {
            return
          }
          log.begin(number)
          await Task.yield()
          log.end()
          queue.leave()
        }
        group.addTask {
          if number % 3 == 0 { task.cancel() }
          await task.value
        }
      }
    }
    #expect(queue.waitingCount == 0)
    #expect(log.most == 1 && log.order.count >= 266)
    try await queue.enter()
    queue.leave()
  }
}
