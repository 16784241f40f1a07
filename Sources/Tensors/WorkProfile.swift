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

/// Adds up the time that each kind of work takes.
package final class WorkProfile: Sendable {
  private let times = Mutex<[WorkKind: Duration]>([:])

  package init() {}

  /// Seconds of each kind so far.
  package var seconds: [WorkKind: Double] {
    times.withLock { $0.mapValues { $0 / .seconds(1) } }
  }

  fileprivate func add(_ time: Duration, to kind: WorkKind) {
    times.withLock { $0[kind, default: .zero] += time }
  }
}

extension ThreadPool {
  /// Runs `body` and adds its time to the pool's profile, if it has one.
  func timing<Value>(
    _ kind: WorkKind, _ body: () throws(ComputeError) -> Value
  ) throws(ComputeError) -> Value {
    guard let profile else { return try body() }
    let start = ContinuousClock.now
    defer { profile.add(ContinuousClock.now - start, to: kind) }
    return try body()
  }
}
