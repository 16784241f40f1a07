import Synchronization

/// Counts the bytes of activations that a piece of work holds, to compare with what was planned.
///
/// Buffers that a task allocates while a meter is current are counted until they are freed,
/// whatever thread frees them. Scratch memory of a thread pool counts with the work that first
/// needs it.
package final class AllocationMeter: Sendable {
  /// The meter of the work that is under way; nil, and nothing is counted.
  @TaskLocal package static var current: AllocationMeter?

  private let live = Mutex((bytes: 0, peak: 0))

  package init() {}

  /// The most bytes that were held at once.
  package var peakBytes: Int { live.withLock { $0.peak } }

  /// Records that bytes were allocated, or freed if negative.
  func add(_ bytes: Int) {
    live.withLock { live in
      live.bytes += bytes
      live.peak = max(live.peak, live.bytes)
    }
  }

  /// Runs work with this meter.
  package func measure<Value>(
    _ work: () throws(ComputeError) -> Value
  ) throws(ComputeError) -> Value {
    let result: Result<Value, ComputeError> = Self.$current.withValue(self) {
      Result { () throws(ComputeError) in try work() }
    }
    return try result.get()
  }
}
