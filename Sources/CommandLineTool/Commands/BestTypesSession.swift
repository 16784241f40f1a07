import ArgumentParser
import BitAllocation
import BlockFormats
import Checkpoints
import Conversion
import Foundation
import LinearAlgebra
import Machine
import ModelFiles
import Quantization
import TextToImage

/// Finds the types for `convert --target-size`, with progress and answers to signals.
struct BestTypesSession {
  let console: Console
  let interruption: Interruption
  let results: ResultWriter
  let pool: ThreadPool
  let size: SizeOptions
  let quality: QuantizationQuality
  let threads: Int?
  let memory: MemoryBudget
  let paths: ModelPaths
  let hints: ArchitectureHints
  /// Where measurements are kept.
  let folder: String
  /// Rounds matrices for what enters them, if that is asked for.
  let calibration: CalibrationSession?

  /// A conversion to the types that suit a size.
  ///
  /// - Parameters:
  ///   - source: the model.
  ///   - request: container and rules; its types are replaced.
  ///   - importance: the user's importance matrix, if there is one.
  ///   - path: the new file, for messages.
  /// - Returns: the plan, the importance matrix to convert with, and what enters the modulation.
  /// - Throws: `ExitCode` after a signal, `ConversionError` for a size that cannot be, and what
  ///   opening and running the model may throw.
  func plan(
    _ source: ConversionSource, _ request: ConversionPlan.Request,
    _ importance: ImportanceMatrix?, path: String
  ) async throws -> (
    plan: ConversionPlan, importance: ImportanceMatrix?, modulation: ModulationInputs?
  ) {
    var request = request
    request.preset = .pure
    let draft = try ConversionPlan(source, request, path: path)
    guard draft.tensors.contains(where: \.isChoosable) else {
      throw ConversionError.unusable(
        "nothing to choose: no tensor of this part is a matrix of free type; name a --type")
    }
    let budget = size.byteCount(of: draft)
    let smallest = BestTypes.smallestBytes(draft)
    guard smallest <= budget else { throw tooSmall(budget, smallest) }
    let pipeline = try pipeline(overlay: nil)
    let settings = try settings(draft, pipeline)
    let measurement = try measurement(draft, pipeline, settings)
    try announce(measurement, pipeline)
    let modulates = draft.tensors.contains { $0.role == .modulation }
    if modulates, OpenBLAS.shared == nil {
      console.note(
        "the modulation is rounded without its inputs, which costs quality or bytes: "
          + OpenBLAS.absence)
    }
    let modulation = try await interruption.computing(on: pool, console) {
      try await ModulationInputs(draft, pipeline, measurement.requests)
    }
    let rounded = try await probes(measurement, source, request, path: path)
    let (errors, measured) = try await interruption.computing(on: pool, console) {
      [finished = rounded?.finished] in
      try await measurement.measure(modulation, finished: finished)
    }
    if let rounded, rounded.finished != nil {
      try rounded.store.keepTypeErrors(rounded.typeErrors)
    }
    let columns = importance ?? measured
    if modulation != nil, calibration == nil {
      request.calibration = ModulationInputs.calibration
    }
    let best = try costs(
      draft, measurement, errors,
      RoundingErrors(
        importance: columns, modulation: modulation, known: rounded?.typeErrors ?? [:],
        quality: quality, on: pool))
    return (try fit(best, request, source, path: path, budget: budget), columns, modulation)
  }

  /// Matrices of the types that groups are measured with, rounded for what enters them; nil where
  /// that is not asked for.
  private func probes(
    _ measurement: SensitivityMeasurement, _ source: ConversionSource,
    _ request: ConversionPlan.Request, path: String
  ) async throws -> CalibrationSession.Result? {
    guard let calibration else { return nil }
    var request = request
    let draft = try ConversionPlan(source, request, path: path)
    for tensor in draft.tensors where tensor.isChoosable {
      request.chosenTypes[tensor.source.name] = measurement.probe(of: tensor)
    }
    return try await calibration.calibrate(
      try ConversionPlan(source, request, path: path),
      trial: (folder, needsMatrices: !measurement.isFinished))
  }

  /// The plan of the best types whose file is not larger than the budget.
  private func fit(
    _ best: BestTypes, _ request: ConversionPlan.Request, _ source: ConversionSource,
    path: String, budget: Int
  ) throws -> ConversionPlan {
    var request = request
    if calibration != nil, let first = source.tensors.first {
      // The file will say of all tensors what is left of their errors: room for that.
      request.errors[first.name] = ProductErrors(
        weights: 1, activations32: 1, activations256: 1)
    }
    var allowed = budget
    while let choice = best.types(within: allowed) {
      request.chosenTypes = choice.types
      request.mix = Self.mix(of: choice.types, source)
      let plan = try ConversionPlan(source, request, path: path)
      // Alignment and metadata may differ a little from the draft's.
      guard plan.byteCount > budget else {
        console.note(
          String(
            format: "expected relative error of velocities %.4f; no choice within this size has "
              + "less than %.4f",
            choice.allocation.error.squareRoot(), choice.allocation.leastError.squareRoot()))
        return plan
      }
      allowed -= plan.byteCount - budget
    }
    throw tooSmall(budget, budget + 1)
  }

  private func tooSmall(_ budget: Int, _ smallest: Int) -> ConversionError {
    .unusable(
      "\(formattedBytes(budget)) is too small: with every free matrix at its smallest type the file "
        + "has \(formattedBytes(smallest))")
  }

  // MARK: Measuring

  private func settings(
    _ draft: ConversionPlan, _ pipeline: Pipeline
  ) throws -> SensitivitySettings {
    let side = size.measureSide ?? min(512, pipeline.defaults.width, pipeline.defaults.height)
    let pixels = max(pipeline.sizeMultiple, side / pipeline.sizeMultiple * pipeline.sizeMultiple)
    var settings = SensitivitySettings(
      prompts: try size.texts(pipeline, console), width: pixels, height: pixels,
      probe: size.probe(for: draft))
    settings.passes = size.passes
    settings.quality = quality
    if let calibration { settings.calibration = calibration.description(pipeline) }
    return settings
  }

  private func measurement(
    _ draft: ConversionPlan, _ pipeline: Pipeline, _ settings: SensitivitySettings
  ) throws -> SensitivityMeasurement {
    let store = SensitivityStore(
      folder: folder, files: pipeline.files, paths: "\(hints) \(settings.pathDescription)",
      settings: settings.description, onRescue: { [results] in results.tell($0) })
    let progress = CountProgress(console)
    return SensitivityMeasurement(
      settings, draft, store, on: pool, open: { try self.pipeline(overlay: $0) },
      onProgress: { [console] state in
        progress.show(state.done, of: state.total, computed: state.computed, state.stage)
        console.detail("pass \(state.done)/\(state.total): \(state.stage)")
      })
  }

  private func pipeline(overlay: String?) throws -> Pipeline {
    var paths = paths
    paths.overlays = overlay.map { [$0] } ?? []
    return try Pipeline(paths, hints: hints, threadCount: threads, memory: memory)
  }

  /// Says what measuring will cost before it begins.
  private func announce(
    _ measurement: SensitivityMeasurement, _ pipeline: Pipeline
  ) throws {
    guard size.passes >= measurement.leastPassCount else {
      throw ConversionError.unusable(
        "--passes \(size.passes) is too few: \(measurement.groups.count) groups of matrices need "
          + "\(measurement.leastPassCount)")
    }
    guard !measurement.isFinished else {
      return console.note("measured already: \(folder)")
    }
    let requests = measurement.requests
    for note in try pipeline.notes(on: requests) { console.note(note) }
    let request = requests[0]
    let seconds = try pipeline.expectedSecondsPerStep(for: try pipeline.settings(for: request))
    let passes = measurement.remainingPassCount
    console.note(
      "measuring \(measurement.groups.count) groups of matrices takes "
        + "\(passes) passes through the transformer, about "
        + formattedDuration(seconds * Double(passes))
        + "; an interrupted run goes on where it was")
  }

  // MARK: Choosing

  private func costs(
    _ draft: ConversionPlan, _ measurement: SensitivityMeasurement, _ errors: [Double],
    _ rounding: RoundingErrors
  ) throws -> BestTypes {
    let progress = CountProgress(console, title: "quantization errors")
    let outcome = Result {
      try BestTypes(draft, measurement, errors, rounding) {
        progress.show($0, of: $1, computed: $0, "matrices")
      }
    }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
    return try outcome.get()
  }

  /// The type that most weights have: what the file is called.
  private static func mix(
    of types: [String: ElementType], _ source: ConversionSource
  ) -> TypeMix {
    var counts: [String: Int] = [:]
    for tensor in source.tensors {
      if let type = types[tensor.name] { counts[type.name, default: 0] += tensor.elementCount }
    }
    let most = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? ""
    return TypeMix(named: most) ?? TypeMix.all[0]
  }
}
