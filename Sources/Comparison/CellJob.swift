import Foundation
import ImageMetrics
import Images
import Synchronization
import Tensors
import TextToImage

/// One picture of one level.
struct CellJob: Sendable {
  let comparison: Comparison
  let level: ComparisonLevel
  let pipeline: Pipeline
  let subject: ComparisonSubject
  /// Of the reference's trajectory for this subject.
  let trajectoryKey: String
  /// Of the level's files.
  let identity: String

  /// The FLIP error that is brightest in difference maps: larger ones are rare.
  private static let brightestError: Float = 0.5

  private var store: ComparisonStore { comparison.store }

  /// By all that the cell depends on.
  private var key: String {
    fingerprint("\(trajectoryKey) \(identity) \(level.activations.rawValue) \(level.kind)")
  }

  private func imageName(_ level: String, ending: String = "") -> String {
    store.imageName(level, prompt: subject.prompt, seed: subject.seed, ending: ending)
  }

  /// What an earlier run left, if it is whole.
  var finished: CellRecord? {
    guard let record = store.cell(key, image: imageName(level.name)) else { return nil }
    if level.kind == .reference {
      return store.trajectory(trajectoryKey) == nil ? nil : record
    }
    return record.measures == nil ? nil : record
  }

  /// Makes the picture and measures it.
  ///
  /// - Parameter report: told what is happening.
  /// - Returns: what was measured.
  /// - Throws: `ComparisonFailure`, `ModelFileError` if a result cannot be kept.
  func compute(_ report: @escaping @Sendable (String) -> Void) async throws -> CellRecord {
    let made = try await generate(report)
    var record = CellRecord(
      measures: nil, secondsPerStep: made.result.statistics.meanSecondsPerStep, peakBytes: 0)
    let points = try trajectoryPoints(made.latents)
    report("velocities")
    let velocities = try await failing {
      () async throws(GenerationError) in
      try await pipeline.velocities(of: subject.request, at: points)
    }
    if level.kind == .reference {
      try store.keep(
        ComparisonStore.Trajectory(latents: made.latents, velocities: velocities),
        as: trajectoryKey)
    } else {
      record.measures = try measures(made.result.images[0], made.latents, velocities)
    }
    record.peakBytes = peakResidentBytes()
    try store.write(made.result.images[0], to: imageName(level.name))
    try store.keep(record, as: key)
    return record
  }

  // MARK: Generation

  private struct Made: Sendable {
    let result: GenerationResult
    /// After each step.
    let latents: [[Float]]
  }

  private func generate(_ report: @escaping @Sendable (String) -> Void) async throws -> Made {
    var request = subject.request
    if level.kind == .noiseFloor, level.activations == comparison.levels[0].activations {
      // Nothing but rounding: each number moves by one unit in its last place.
      request.latents = try await failing { () async throws(GenerationError) in
        try pipeline.initialLatents(for: request).map(\.nextUp)
      }
    }
    let prepared = request
    let latents = Mutex<[[Float]]>([])
    let result = try await failing { () async throws(GenerationError) in
      try await pipeline.generate(prepared) { progress in
        if progress.stage == .denoising {
          latents.withLock { $0.append(progress.latents[0]) }
          report("step \(progress.step)/\(progress.stepCount)")
        } else {
          report(progress.stage.rawValue)
        }
      }
    }
    return Made(result: result, latents: latents.withLock { $0 })
  }

  /// Where velocities are compared: on the reference's way, whichever way this level went.
  private func trajectoryPoints(_ own: [[Float]]) throws -> [TrajectoryPoint] {
    let latents = level.kind == .reference ? own : try trajectory().latents
    return try subject.velocitySteps.map { step in
      let start = step > 0 ? latents[step - 1] : try pipeline.initialLatents(for: subject.request)
      return TrajectoryPoint(step: step, latents: start)
    }
  }

  private func trajectory() throws -> ComparisonStore.Trajectory {
    guard let trajectory = store.trajectory(trajectoryKey),
      trajectory.latents.count == subject.settings.steps,
      trajectory.velocities.count == subject.velocitySteps.count
    else {
      throw GenerationError.unreadable(
        path: store.path("cache/trajectories/\(trajectoryKey).safetensors"),
        fault: "was removed or damaged during the comparison: start it again")
    }
    return trajectory
  }

  private func failing<Value: Sendable>(
    _ body: () async throws(GenerationError) -> Value
  ) async throws -> Value {
    do throws(GenerationError) {
      return try await body()
    } catch {
      throw ComparisonFailure(
        level: level.name, prompt: subject.prompt, seed: subject.seed, error: error)
    }
  }

  // MARK: Measures

  private func measures(
    _ image: RGBImage, _ latents: [[Float]], _ velocities: [[Float]]
  ) throws -> CellMeasures {
    let trajectory = try trajectory()
    guard let reference = store.image(imageName(self.comparison.levels[0].name)) else {
      throw GenerationError.unreadable(
        path: store.path(imageName(self.comparison.levels[0].name)),
        fault: "was removed or damaged during the comparison: start it again")
    }
    let comparison = try ImageComparison(of: image, with: reference)
    try store.write(
      comparison.flipErrorMap.picture(brightest: Self.brightestError),
      to: imageName(level.name, ending: "-difference"))
    return CellMeasures(
      psnr: comparison.peakSignalToNoiseRatio, ssim: comparison.structuralSimilarity,
      multiScaleSSIM: comparison.multiScaleStructuralSimilarity?.value,
      flip: comparison.flipErrorMap.mean,
      latentErrors: zip(latents, trajectory.latents).map { relativeDistance($0, $1) },
      velocityErrors: zip(velocities, trajectory.velocities).map { relativeDistance($0, $1) })
  }
}

extension GenerationStatistics {
  var meanSecondsPerStep: Double {
    stepSeconds.reduce(0, +) / Double(max(1, stepSeconds.count))
  }
}
