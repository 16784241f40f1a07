import Synchronization

/// Lets work run one after another: first come, first served, with a bound on what may wait.
///
/// Waiting blocks no thread, and ends at once when the waiting task is cancelled.
package final class GenerationQueue: Sendable {
  /// Why there will be no turn.
  package enum Refusal: Error, Equatable {
    /// The task was cancelled while it waited.
    case cancelled
    /// As many wait as may.
    case full(waiting: Int)
  }

  private typealias Answer = Result<Void, Refusal>

  private struct State {
    var isBusy = false
    var nextNumber = 0
    /// In the order in which they came.
    var waiting: [(number: Int, continuation: CheckedContinuation<Answer, Never>)] = []
    /// Those whose cancellation came before they began to wait.
    var cancelled: Set<Int> = []
  }

  /// Most tasks that wait.
  package let capacity: Int
  private let state = Mutex(State())

  /// - Parameter capacity: most tasks that wait, beside the one whose turn it is.
  package init(capacity: Int) { self.capacity = max(0, capacity) }

  /// Tasks that wait now.
  package var waitingCount: Int { state.withLock { $0.waiting.count } }

  /// Waits for a turn, which lasts until `leave` is called.
  ///
  /// - Throws: `Refusal`; then there is no turn to leave.
  package func enter() async throws(Refusal) {
    let number = state.withLock { state in
      state.nextNumber += 1
      return state.nextNumber
    }
    let answer = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if let answer = register(number, continuation) { continuation.resume(returning: answer) }
      }
    } onCancel: {
      cancel(number)
    }
    state.withLock { _ = $0.cancelled.remove(number) }
    try answer.get()
  }

  /// Ends a turn: the next in line has its own.
  package func leave() {
    let next = state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.isBusy = false
        return nil as CheckedContinuation<Answer, Never>?
      }
      return state.waiting.removeFirst().continuation
    }
    next?.resume(returning: .success(()))
  }

  /// The answer, if there is one at once.
  private func register(
    _ number: Int, _ continuation: CheckedContinuation<Answer, Never>
  ) -> Answer? {
    state.withLock { state in
      if state.cancelled.contains(number) { return .failure(.cancelled) }
      guard state.isBusy else {
        state.isBusy = true
        return .success(())
      }
      guard state.waiting.count < capacity else {
        return .failure(.full(waiting: state.waiting.count))
      }
      state.waiting.append((number, continuation))
      return nil
    }
  }

  private func cancel(_ number: Int) {
    let waiting = state.withLock { state in
      guard let index = state.waiting.firstIndex(where: { $0.number == number }) else {
        state.cancelled.insert(number)
        return nil as CheckedContinuation<Answer, Never>?
      }
      return state.waiting.remove(at: index).continuation
    }
    waiting?.resume(returning: .failure(.cancelled))
  }
}
