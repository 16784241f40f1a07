import ArgumentParser
import BitAllocation
import BlockFormats
import Calibration
import Checkpoints
import Conversion
import Foundation
import LinearAlgebra
import Machine
import ModelCatalog
import ModelFiles
import Quantization
import TextToImage

/// Rounds the transformer's matrices for `convert --calibrate`, with progress and answers to
/// signals.
struct CalibrationSession {
  let console: Console
  let interruption: Interruption
  let pool: ThreadPool
  let options: CalibrationOptions
  let quality: QuantizationQuality
  let allowsNotFinite: Bool
  let threads: Int?
  let memory: MemoryBudget
  let paths: ModelPaths
  let hints: ArchitectureHints
  /// Where work is kept.
  let folder: String

  /// What came of it.
  struct Result {
    let finished: FinishedTensors
    /// Relative squared errors of each matrix with each type, if they were asked for.
    let typeErrors: [String: [ElementType: Double]]
    /// Where matrices are kept until the file is whole.
    let store: CalibrationStore
  }

  /// Points that suffice to tell what types lose.
  private static let measuringPoints = 24

  /// Calibrates what an earlier run has not.
  ///
  /// - Parameters:
  ///   - plan: what each tensor becomes.
  ///   - modulation: what enters the modulation, if that is known already.
  ///   - measuresTypes: whether to find out what each type would lose, which takes fewer points and
  ///     no targets.
  /// - Returns: the rounded matrices.
  /// - Throws: `ExitCode` after a signal, and what opening and running the model may throw.
  func calibrate(
    _ plan: ConversionPlan, _ modulation: ModulationInputs?, measuresTypes: Bool = false
  ) async throws -> Result {
    guard OpenBLAS.shared != nil else {
      throw ConversionError.unusable("--calibrate: \(OpenBLAS.absence)")
    }
    // Calibration needs the inputs themselves, whatever people generate with.
    let pipeline = try Pipeline(
      paths, hints: hints, threadCount: threads, activations: .exact, memory: memory)
    var settings = try options.settings(pipeline, console)
    if measuresTypes { settings.points = min(settings.points, Self.measuringPoints) }
    var wanted = CalibrationRun.Options(settings)
    wanted.hasTargets = options.hasTargets && !measuresTypes
    wanted.measuresTypes = measuresTypes
    wanted.quality = quality
    wanted.allowsNotFinite = allowsNotFinite
    let types = plan.tensors.map { "\($0.source.name) \($0.type.name)" }.joined(separator: ",")
    let store = CalibrationStore(
      folder: folder, files: pipeline.files, description: "\(hints) \(wanted.description) \(types)")
    let progress = ShareProgress(console, title: measuresTypes ? "trial" : "calibration")
    let (wantedOptions, calibrated) = (wanted, settings)
    let (finished, typeErrors) = try await computing {
      let known =
        if let modulation { modulation } else {
          try await ModulationInputs(plan, pipeline, [calibrated.request(0)])
        }
      let run = CalibrationRun(
        wantedOptions, plan, known, store, on: pool,
        open: { [paths, hints] overlays throws(ModelFileError) in
          var paths = paths
          paths.overlays = overlays
          return try FamilyCatalog.known.denoiser(paths, hints: hints)
        },
        onEstimate: { estimate, finished in
          try announce(estimate, finished, calibrated, limit: pipeline.memory.limit)
        },
        onProgress: { [console] state in
          let text = "layer \(state.layer)/\(state.layerCount)  \(state.stage)"
          progress.show(state.share, computed: state.computed, text)
          console.detail(text)
        })
      return try await run.calibrate(pipeline)
    }
    return Result(finished: finished, typeErrors: typeErrors, store: store)
  }

  /// Says what it will cost before it begins.
  private func announce(
    _ estimate: CalibrationEstimate, _ finishedLayers: Int?, _ settings: CalibrationSettings,
    limit: Int?
  ) throws {
    if let limit, estimate.memoryBytes > limit {
      throw GenerationError.overBudget(
        "calibrating needs \(formattedBytes(estimate.memoryBytes)) of memory, \(formattedBytes(limit)) "
          + "may be used: raise --memory, or choose fewer --calibrate-points or a smaller "
          + "--calibrate-side")
    }
    console.detail(
      "finding points \(formattedDuration(estimate.pointSeconds)), adding up "
        + "\(formattedDuration(estimate.parts.adding)), rounding "
        + "\(formattedDuration(estimate.parts.rounding)), passing layers "
        + "\(formattedDuration(estimate.parts.passing))")
    let seconds = estimate.seconds(after: finishedLayers)
    if finishedLayers == estimate.layerSeconds.count { return }
    let what =
      finishedLayers.map { "going on after \($0) layers of \(estimate.layerSeconds.count)" }
      ?? "calibrating on \(settings.points) points of \(settings.side)x\(settings.side) pixels"
    console.note(
      "\(what) takes about \(formattedDuration(seconds)), "
        + "\(formattedBytes(estimate.memoryBytes)) of memory and "
        + "\(formattedBytes(estimate.diskBytes)) in \(folder); an interrupted run goes on where it was"
    )
  }

  /// All that measurements with matrices rounded so depend on.
  func description(_ pipeline: Pipeline) throws -> String {
    "calibrated 1 \(try options.settings(pipeline, console))"
  }

  /// Does some of the model's work, which a signal ends.
  private func computing<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let task = Task { try await body() }
    interruption.beginComputing { [pool] in
      task.cancel()
      pool.cancel()
    }
    let outcome = await task.result
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    return try outcome.get()
  }
}
