import Synchronization

/// Tells how much of a calibration is done, by the estimate of its parts.
final class WorkMeter: Sendable {
  private let estimate: CalibrationEstimate
  private let onProgress: @Sendable (CalibrationRun.Progress) -> Void
  /// Places and layers that were passed on the way to the points.
  private let passed = Mutex(0)
  private let total: Double
  /// Seconds of the estimate that an earlier run has spent.
  private let before: Double

  init(
    _ estimate: CalibrationEstimate, _ done: CalibrationEstimate.Done,
    _ onProgress: @escaping @Sendable (CalibrationRun.Progress) -> Void
  ) {
    self.estimate = estimate
    self.onProgress = onProgress
    total = max(estimate.seconds(after: .init(texts: false, layers: nil)), 1e-9)
    before = total - estimate.seconds(after: done)
  }

  /// Text encoders begin.
  func beginTexts() { report("text encoders", layer: 0, done: 0) }

  /// Some places have passed a layer on the way to the points.
  func passed(_ places: Int) {
    let passed = passed.withLock {
      $0 += places
      return $0
    }
    let share = Double(passed) / Double(max(1, estimate.pathWork))
    report(
      "finding points", layer: 0, done: estimate.textSeconds + estimate.pointSeconds * share)
  }

  /// Something begins when a share of a layer is done.
  func begin(_ stage: String, in layer: Int, done share: Double) {
    let left = estimate.seconds(after: .init(texts: true, layers: layer))
    report(stage, layer: layer + 1, done: total - left + share * estimate.layerSeconds[layer])
  }

  private func report(_ stage: String, layer: Int, done: Double) {
    onProgress(
      CalibrationRun.Progress(
        stage: stage, layer: layer, layerCount: estimate.layerSeconds.count, share: done / total,
        computed: (done - before) / total))
  }
}
