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

/// Rounds the matrices of transformer and text encoders for `convert --calibrate`, with progress
/// and answers to signals.
struct CalibrationSession {
  let console: Console
  let interruption: Interruption
  let pool: ThreadPool
  let options: CalibrationOptions
  let prompts: [String]
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
    /// Nil where only errors were wanted, and they were known.
    let finished: FinishedTensors?
    /// Errors of products with them.
    var errors: [String: ProductErrors] = [:]
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
  ///   - trial: where to keep what each type would lose, if that is what is wanted: it takes fewer
  ///     points and no targets. Nothing is done if it is known and the matrices are not needed.
  /// - Returns: the rounded matrices.
  /// - Throws: `ExitCode` after a signal, and what opening and running the model may throw.
  func calibrate(
    _ plan: ConversionPlan, trial: (folder: String, needsMatrices: Bool)? = nil
  ) async throws -> Result {
    try expectWork(for: plan)
    // Calibration needs the inputs themselves, whatever people generate with.
    let pipeline = try Pipeline(
      paths, hints: hints, threadCount: threads, activations: .exact, memory: memory)
    let wanted = runOptions(pipeline, measuresTypes: trial != nil)
    let settings = wanted.settings
    let types = plan.tensors.map { "\($0.source.name) \($0.type.name)" }.joined(separator: ",")
    let store = CalibrationStore(
      folder: trial?.folder ?? folder,
      ownsFolder: trial == nil && options.calibrationFolder == nil, files: pipeline.files,
      description: "\(hints) \(wanted.description) \(types)")
    if let trial, !trial.needsMatrices, let known = store.typeErrors() {
      return Result(finished: nil, typeErrors: known, store: store)
    }
    let progress = ShareProgress(console, title: trial == nil ? "calibration" : "trial")
    let (finished, errors, typeErrors) = try await interruption.computing(on: pool, console) {
      let modulation = try await ModulationInputs(
        plan, pipeline, (0..<settings.points).map { settings.request($0) })
      let run = CalibrationRun(
        wanted, plan, modulation, store, on: pool,
        open: { [paths, hints] overlays throws(ModelFileError) in
          var paths = paths
          paths.overlays = overlays
          return try FamilyCatalog.known.denoiser(paths, hints: hints)
        },
        onEstimate: { estimate, done in
          try announce(
            estimate, done, settings, in: store.folder, limit: pipeline.memory.limit)
        },
        onProgress: { [console] state in
          let text = "layer \(state.layer)/\(state.layerCount)  \(state.stage)"
          progress.show(state.share, computed: state.computed, text)
          console.detail(text)
        })
      return try await run.calibrate(pipeline)
    }
    return Result(finished: finished, errors: errors, typeErrors: typeErrors, store: store)
  }

  /// Refuses what cannot be calibrated.
  private func expectWork(for plan: ConversionPlan) throws(ConversionError) {
    guard OpenBLAS.shared != nil else { throw .unusable("--calibrate: \(OpenBLAS.absence)") }
    guard plan.tensors.contains(where: { $0.isRounded && $0.source.part == plan.family.denoiser })
    else {
      throw .unusable(
        "--calibrate has nothing to do: no matrix of the \(plan.family.denoiser.name) is rounded, "
          + "for which the whole model is run")
    }
  }

  private func runOptions(_ pipeline: Pipeline, measuresTypes: Bool) -> CalibrationRun.Options {
    var settings = options.settings(pipeline, prompts)
    if measuresTypes { settings.points = min(settings.points, Self.measuringPoints) }
    var wanted = CalibrationRun.Options(settings)
    wanted.hasTargets = options.hasTargets && !measuresTypes
    wanted.measuresTypes = measuresTypes
    wanted.quality = quality
    wanted.allowsNotFinite = allowsNotFinite
    return wanted
  }

  /// Says what it will cost before it begins.
  private func announce(
    _ estimate: CalibrationEstimate, _ done: CalibrationEstimate.Done,
    _ settings: CalibrationSettings,
    in folder: String, limit: Int?
  ) throws {
    if let limit, estimate.memoryBytes > limit {
      throw GenerationError.overBudget(
        "calibrating needs \(formattedBytes(estimate.memoryBytes)) of memory, \(formattedBytes(limit)) "
          + "may be used: raise --memory, or choose fewer --calibrate-points or a smaller "
          + "--calibrate-side")
    }
    console.detail(
      "text encoders \(formattedDuration(estimate.textSeconds)), finding points \(formattedDuration(estimate.pointSeconds)), adding up "
        + "\(formattedDuration(estimate.parts.adding)), rounding "
        + "\(formattedDuration(estimate.parts.rounding)), passing layers "
        + "\(formattedDuration(estimate.parts.passing))")
    if done.layers == nil {
      try AtomicFile.checkSpace(
        for: estimate.diskBytes, at: FileSystem.join(folder, "layers"))
    }
    let seconds = estimate.seconds(after: done)
    if done.layers == estimate.layerSeconds.count { return }
    let what =
      done.layers.map { "going on after \($0) layers of \(estimate.layerSeconds.count)" }
      ?? "calibrating on \(settings.points) points of \(settings.side)x\(settings.side) pixels"
    console.note(
      "\(what) takes about \(formattedDuration(seconds)), "
        + "\(formattedBytes(estimate.memoryBytes)) of memory and "
        + "\(formattedBytes(estimate.diskBytes)) in \(folder); an interrupted run goes on where it was"
    )
  }

  /// All that measurements with matrices rounded so depend on.
  func description(_ pipeline: Pipeline) -> String {
    "calibrated 1 \(options.settings(pipeline, prompts))"
  }

  /// What files say that were converted with it.
  var metadata: String {
    "error feedback for second moments of inputs at \(options.points) points "
      + (options.calibrateSide.map { "and \($0) pixels " } ?? "") + "of "
      + "\(prompts.count) prompts (xxh64 \(XXHash64.name(of: prompts.joined(separator: "\n"))))"
      + (options.hasTargets ? ", with targets" : "") + "; \(ModulationInputs.calibration)"
  }
}
