import Compute
import Machine
import Synchronization

/// Kinds of work that a step consists of.
package enum WorkKind: String, CaseIterable, Sendable {
  /// Products with stored weights: packing and unpacking are among them, and the norms and gated
  /// units that make their rows.
  case products
  /// Softmax attention and the normalization of its heads.
  case attention
  /// Sums with the residual stream.
  case sums
}

/// Is told of what a `CPUDevice` does.
package protocol WorkObserver: Sendable {
  /// Called before rows are multiplied by weights.
  func willMultiply(
    _ input: ProductInput, by weights: [WeightMatrix], on device: CPUDevice
  ) throws(ComputeError)
  /// Called when work has ended.
  func did(_ kind: WorkKind, in time: Duration)
}

/// Adds up the time that each kind of work takes.
package final class WorkProfile: WorkObserver {
  private let times = Mutex<[WorkKind: Duration]>([:])

  package init() {}

  /// Seconds of each kind so far.
  package var seconds: [WorkKind: Double] {
    times.withLock { $0.mapValues { $0 / .seconds(1) } }
  }

  package func willMultiply(
    _ input: ProductInput, by weights: [WeightMatrix], on device: CPUDevice
  ) throws(ComputeError) {}

  package func did(_ kind: WorkKind, in time: Duration) {
    times.withLock { $0[kind, default: .zero] += time }
  }
}

extension CPUDevice {
  /// Runs `body` and tells the observer, if there is one, of its time.
  func timing<Value>(
    _ kind: WorkKind, _ body: () throws(ComputeError) -> Value
  ) throws(ComputeError) -> Value {
    guard let observer else { return try body() }
    let start = ContinuousClock.now
    defer { observer.did(kind, in: ContinuousClock.now - start) }
    return try body()
  }
}
