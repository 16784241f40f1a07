import Foundation
import ImageMetrics
import Images
import Machine
import Synchronization
import TextToImage

/// One picture of one level.
struct CellJob: Sendable {
  let comparison: Comparison
  let level: ComparisonLevel
  let pipeline: Pipeline
  let subject: ComparisonSubject
  /// Of the reference's trajectory for this subject.
  let trajectoryKey: String
  /// Of all that the cell depends on.
  let key: String

  /// The FLIP error that is brightest in difference maps: larger ones are rare.
  private static let brightestError: Float = 0.5

  private var store: ComparisonStore { comparison.store }

  private func imageName(_ level: ComparisonLevel, ending: String = "") -> String {
    store.imageName(level.name, prompt: subject.prompt, seed: subject.seed, ending: ending)
  }

  private var differenceName: String { imageName(level, ending: "-difference") }

  /// What an earlier run left, if it is whole.
  var finished: CellRecord? {
    guard
      let record = store.cell(key, image: imageName(level), difference: differenceName),
      store.hasTrajectory(
        trajectoryKey, steps: subject.settings.steps, points: subject.velocitySteps.count)
    else { return nil }
    let isWhole = level.kind == .reference || record.measures != nil || record.failure != nil
    return isWhole ? record : nil
  }

  /// Makes the picture and measures it.
  ///
  /// - Parameter report: told what is happening.
  /// - Returns: what was measured.
  /// - Throws: `ComparisonFailure`, `ModelFileError` if a result cannot be kept.
  func compute(_ report: @escaping @Sendable (String) -> Void) async throws -> CellRecord {
    // A failed run must not leave the pictures of another cell of this name.
    for name in [imageName(level), differenceName] { store.remove(name) }
    var record = CellRecord(
      secondsPerStep: 0, peakBytes: nil,
      circumstances: "\(pipeline.threadCount) threads, memory \(pipeline.memory)")
    do {
      try await compute(&record, report)
    } catch let failure as ComparisonFailure {
      // Weights that lead to no picture are a result, except for the reference.
      guard level.kind != .reference, failure.error.isAboutWeights else { throw failure }
      record.failure = "\(failure.error)"
    }
    try store.keep(record, as: key)
    return record
  }

  private func compute(
    _ record: inout CellRecord, _ report: @escaping @Sendable (String) -> Void
  ) async throws {
    let canMeasurePeak = resetPeakResidentBytes()
    let made = try await generate(report)
    record.secondsPerStep = made.result.statistics.meanSecondsPerStep
    record.peakBytes = canMeasurePeak ? made.result.statistics.peakResidentBytes : nil
    report("velocities")
    let points = try trajectoryPoints(made.latents)
    let velocities = try await failing {
      () async throws(GenerationError) in
      try await pipeline.velocities(of: subject.request, at: points)
    }
    let image = made.result.images[0]
    if level.kind == .reference {
      try store.keep(
        ComparisonStore.Trajectory(latents: made.latents, velocities: velocities),
        as: trajectoryKey)
    } else {
      let (measures, map) = try measures(image, made.latents, velocities)
      record.measures = measures
      record.differenceHash = try store.write(map, to: differenceName)
    }
    record.pictureHash = try store.write(image, to: imageName(level))
  }

  // MARK: Generation

  private struct Made: Sendable {
    let result: GenerationResult
    /// After each step.
    let latents: [[Float]]
  }

  private func generate(_ report: @escaping @Sendable (String) -> Void) async throws -> Made {
    var request = subject.request
    if isPerturbed { request.latents = perturbed(try initialLatents()) }
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
      let start = step > 0 ? latents[step - 1] : try initialLatents()
      return TrajectoryPoint(step: step, latents: isPerturbed ? perturbed(start) : start)
    }
  }

  private func initialLatents() throws -> [Float] {
    try pipeline.initialLatents(for: subject.request)
  }

  /// Whether rounding is varied by the noise: the level computes just as the reference does.
  private var isPerturbed: Bool {
    level.kind == .noiseFloor && level.activations == comparison.levels[0].activations
  }

  /// Each number moved by one unit in its last place.
  private func perturbed(_ latents: [Float]) -> [Float] { latents.map(\.nextUp) }

  private func trajectory() throws -> ComparisonStore.Trajectory {
    guard
      let trajectory = store.trajectory(
        trajectoryKey, steps: subject.settings.steps, points: subject.velocitySteps.count)
    else { throw gone("cache/trajectories/\(trajectoryKey).safetensors") }
    return trajectory
  }

  private func gone(_ name: String) -> GenerationError {
    .unreadable(
      path: store.path(name),
      fault: "was removed or damaged during the comparison: start it again")
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
  ) throws -> (CellMeasures, map: RGBImage) {
    let trajectory = try trajectory()
    let name = imageName(comparison.levels[0])
    guard let reference = store.image(name), reference.width == image.width,
      reference.height == image.height
    else { throw gone(name) }
    let difference = try ImageComparison(of: image, with: reference)
    let measures = CellMeasures(
      psnr: difference.peakSignalToNoiseRatio, ssim: difference.structuralSimilarity,
      multiScaleSSIM: difference.multiScaleStructuralSimilarity?.value,
      flip: difference.flipErrorMap.mean,
      latentErrors: zip(latents, trajectory.latents).map { relativeDistance($0, $1) },
      velocityErrors: zip(velocities, trajectory.velocities).map { relativeDistance($0, $1) })
    return (measures, difference.flipErrorMap.picture(brightest: Self.brightestError))
  }
}

extension GenerationStatistics {
  var meanSecondsPerStep: Double {
    stepSeconds.reduce(0, +) / Double(max(1, stepSeconds.count))
  }
}

extension GenerationError {
  /// Whether weights are at fault, not the machine or the user.
  fileprivate var isAboutWeights: Bool {
    switch self {
    case .notFinite, .notFiniteImage: true
    default: false
    }
  }
}
