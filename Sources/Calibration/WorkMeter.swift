import TextToImage

/// Tells how much of a calibration is done, by the estimate of its parts.
final class WorkMeter {
  private let estimate: CalibrationEstimate
  private let onProgress: @Sendable (CalibrationRun.Progress) -> Void
  private let layerCount: Int
  /// Places and layers that are passed on the way to the points, in all and so far.
  private let pathWork: Int
  private var passed = 0
  private let total: Double
  /// Seconds of the estimate that an earlier run has spent.
  private let before: Double

  init(
    _ estimate: CalibrationEstimate, finishedLayers: Int?, _ pass: any LayerPassing,
    _ onProgress: @escaping @Sendable (CalibrationRun.Progress) -> Void
  ) {
    self.estimate = estimate
    self.onProgress = onProgress
    layerCount = pass.layerCount
    pathWork = pass.pathPassCount * pass.layerCount
    total = max(estimate.seconds(after: nil), 1e-9)
    before = total - estimate.seconds(after: finishedLayers)
  }

  /// Some places have passed a layer on the way to the points.
  func passed(_ places: Int) {
    passed += places
    let share = Double(passed) / Double(max(1, pathWork))
    report("finding points", layer: 0, done: estimate.pointSeconds * share)
  }

  /// Something begins when a share of a layer is done.
  func begin(_ stage: String, in layer: Int, done share: Double) {
    let done = total - estimate.seconds(after: layer) + share * estimate.layerSeconds[layer]
    report(stage, layer: layer + 1, done: done)
  }

  private func report(_ stage: String, layer: Int, done: Double) {
    onProgress(
      CalibrationRun.Progress(
        stage: stage, layer: layer, layerCount: layerCount, share: done / total,
        computed: (done - before) / total))
  }
}
