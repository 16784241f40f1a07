/// Measures stages with the monotonic clock.
final class StageClock {
  private let start = ContinuousClock.now
  private var last = ContinuousClock.now

  /// Seconds since the last call, or since the beginning.
  func lap() -> Double {
    let now = ContinuousClock.now
    defer { last = now }
    return (now - last) / .seconds(1)
  }

  func total() -> Double { (ContinuousClock.now - start) / .seconds(1) }
}
