import BitAllocation
import BlockFormats
import ComputeCPU
import Conversion
import Diffusion
import LinearAlgebra
import Machine
import ModelFiles
import Quantization
import TextToImage

/// Rounds the matrices of a denoiser one after the other, in the order in which they run, each for
/// what enters it at the points of a calibration.
///
/// Two streams of tokens go through the layers: through the model's own weights, and through those
/// that were rounded so far. A matrix is rounded for what the second brings to it, and towards the
/// products that the first has there. Without targets there is only the first.
package struct CalibrationRun: Sendable {
  /// How far a run has come.
  package struct Progress: Sendable {
    /// What is being done.
    package let stage: String
    /// The layer that is worked on, from 1, and how many there are; 0 while points are searched.
    package let layer, layerCount: Int
    /// What share of all work is done, by the estimate, and what share this run has done.
    package let share, computed: Double
  }

  /// What to do.
  package struct Options: Sendable {
    package var settings: CalibrationSettings
    /// Whether matrices are moved to make up for the rounding of those before them.
    package var hasTargets = true
    package var quality = QuantizationQuality.fast
    package var allowsNotFinite = false
    /// Whether to find out what each type would lose of each matrix.
    package var measuresTypes = false

    /// Calibrates on some points.
    package init(_ settings: CalibrationSettings) { self.settings = settings }

    /// All that the result depends on.
    package var description: String {
      "\(settings) \(hasTargets) \(quality) \(allowsNotFinite) \(measuresTypes)"
    }
  }

  private let options: Options
  private let rounding: MatrixRounding
  private let store: CalibrationStore
  private let pool: ThreadPool
  private let open: @Sendable (_ overlays: [String]) throws(ModelFileError) -> any Denoiser
  private let onEstimate: @Sendable (CalibrationEstimate, CalibrationEstimate.Done) throws -> Void
  private let onProgress: @Sendable (Progress) -> Void

  /// - Parameters:
  ///   - options: what to do.
  ///   - plan: what each matrix becomes.
  ///   - modulation: what enters the modulation.
  ///   - store: where work is kept.
  ///   - pool: threads to work on.
  ///   - open: opens the denoiser with other matrices in the place of its own.
  ///   - onEstimate: told of the cost before work begins, and of what is done; may throw to leave
  ///     it.
  ///   - onProgress: told of what begins.
  package init(
    _ options: Options, _ plan: ConversionPlan, _ modulation: ModulationInputs?,
    _ store: CalibrationStore, on pool: ThreadPool,
    open: @escaping @Sendable (_ overlays: [String]) throws(ModelFileError) -> any Denoiser,
    onEstimate: @escaping @Sendable (CalibrationEstimate, CalibrationEstimate.Done) throws -> Void,
    onProgress: @escaping @Sendable (Progress) -> Void
  ) {
    self.options = options
    rounding = MatrixRounding(options, plan, modulation, on: pool)
    self.store = store
    self.pool = pool
    self.open = open
    self.onEstimate = onEstimate
    self.onProgress = onProgress
  }

  /// Calibrates what an earlier run has not.
  ///
  /// - Parameter pipeline: the model.
  /// - Returns: the rounded matrices, errors of products with them, and if it was asked for the
  ///   relative squared error of the products of each with each type, by our names.
  /// - Throws: `GenerationError`, `ModelFileError`, `ConversionError`, `ComputeError`.
  package func calibrate(
    _ pipeline: Pipeline
  ) async throws -> (
    finished: FinishedTensors, errors: [String: ProductErrors],
    typeErrors: [String: [ElementType: Double]]
  ) {
    guard let library = OpenBLAS.shared else {
      throw ConversionError.unusable("--calibrate: \(OpenBLAS.absence)")
    }
    try store.prepare()
    let requests = (0..<options.settings.points).map { options.settings.request($0) }
    let settings = try pipeline.settings(for: requests[0])
    let expected = try pipeline.expectedSeconds(for: settings)
    let secondsPerPlace = expected.step / (settings.usesGuidance ? 2 : 1)
    // What was kept of points goes with what lies in the files beside them.
    let known = store.state()
    if known == nil { store.removePoints() }
    var state = known ?? CalibrationStore.State()
    let estimate = try await passLayers(pipeline, requests) { pass in
      try CalibrationEstimate(
        pass, rounding, secondsOfTexts: expected.texts * Double(requests.count),
        secondsPerPlace: secondsPerPlace, library, on: pool)
    }
    let done = CalibrationEstimate.Done(
      texts: state.texts != nil || !rounding.roundsTexts,
      layers: store.points(count: requests.count) == nil ? nil : state.layers.count)
    do {
      try onEstimate(estimate, done)
    } catch {
      // Nothing was done that somebody would go on with.
      if known == nil { store.removeOwn() }
      throw error
    }
    let meter = WorkMeter(estimate, done, onProgress)
    if !done.texts {
      let texts = try await calibrateTexts(pipeline, requests[0], library, meter)
      state.texts = texts.files
      state.add(texts.outcome)
      try store.keep(state)
    }
    state = try await passLayers(pipeline, requests) { [state] pass in
      try calibrate(pass, from: state, meter, library)
    }
    return (
      try FinishedTensors(paths: store.paths(state), productErrors: state.outcome.productErrors),
      state.outcome.errors, state.outcome.typeErrors
    )
  }

  /// Runs `body` with the points and layers.
  private func passLayers<Value: Sendable>(
    _ pipeline: Pipeline, _ requests: [GenerationRequest],
    _ body: @escaping @Sendable (any LayerPassing) throws -> Value
  ) async throws -> Value {
    try await pipeline.passingLayers(
      for: requests, hasTargets: options.hasTargets,
      scratch: { [store] byteCount throws(ModelFileError) in
        let file = try ScratchFile(path: store.scratchPath, byteCount: byteCount)
        if file.isNew { store.removePoints() }
        return file
      }, body)
  }

  /// Rounds the matrices of text encoders.
  ///
  /// - Returns: how many files there are, and what their matrices lost.
  private func calibrateTexts(
    _ pipeline: Pipeline, _ request: GenerationRequest, _ library: OpenBLAS, _ meter: WorkMeter
  ) async throws -> (files: Int, outcome: MatrixRounding.Outcome) {
    let text = TextCalibration(rounding, store, library)
    meter.beginTexts()
    do {
      try await pipeline.encodeTexts(
        options.settings.prompts, like: request,
        InputListener { (names, rows, columns) throws(ComputeError) in
          try text.add(names, rows, columns)
        })
    } catch {
      throw text.fault(instead: error)
    }
    return try text.finish()
  }

  /// Rounds the matrices of the denoiser.
  private func calibrate(
    _ pass: any LayerPassing, from earlier: CalibrationStore.State, _ meter: WorkMeter,
    _ library: OpenBLAS
  ) throws -> CalibrationStore.State {
    var state = earlier
    let points = store.points(count: options.settings.points)
    if let points {
      try pass.resume(latents: points.latents, modulationInputs: points.modulationInputs)
    } else {
      state.layers = []
      try pass.findPoints { meter.passed($0) }
      let found = try pass.state()
      // Points that are there say that the rest is.
      try pass.flush()
      try store.keep(state)
      try store.keep(points: found.latents, modulationInputs: found.modulationInputs)
    }
    while state.layers.count < pass.layerCount {
      let layer = LayerCalibration(
        state.layers.count, pass, rounding, store, library, meter, open: open)
      try layer.run(&state)
      try pass.flush()
      try store.keep(state)
    }
    return state
  }
}
