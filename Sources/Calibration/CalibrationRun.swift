import BitAllocation
import BlockFormats
import Checkpoints
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

    /// What is added to the diagonal of second moments, relative to its mean: with targets a sample
    /// of rows is fitted more closely, and needs more.
    var damping: Double { hasTargets ? 0.1 : 0.01 }

    /// All that the result depends on.
    package var description: String {
      "\(settings) \(hasTargets) \(quality) \(allowsNotFinite) \(damping) \(measuresTypes)"
    }
  }

  private let options: Options
  private let plan: ConversionPlan
  private let modulation: ModulationInputs?
  private let store: CalibrationStore
  private let pool: ThreadPool
  private let open: @Sendable (_ overlays: [String]) throws(ModelFileError) -> any Denoiser
  private let onEstimate: @Sendable (CalibrationEstimate, _ finishedLayers: Int?) throws -> Void
  private let onProgress: @Sendable (Progress) -> Void
  /// The tensors that are rounded, by our names.
  private let tensors: [String: ConversionPlan.Tensor]

  /// Points from which the sizes of columns are told, before all have been seen.
  private static let samplePlaces = 4

  /// - Parameters:
  ///   - options: what to do.
  ///   - plan: what each matrix becomes.
  ///   - modulation: what enters the modulation.
  ///   - store: where work is kept.
  ///   - pool: threads to work on.
  ///   - open: opens the denoiser with other matrices in the place of its own.
  ///   - onEstimate: told of the cost before work begins, and of layers that are done (nil if not
  ///     even the points are known); may throw to leave it.
  ///   - onProgress: told of what begins.
  package init(
    _ options: Options, _ plan: ConversionPlan, _ modulation: ModulationInputs?,
    _ store: CalibrationStore, on pool: ThreadPool,
    open: @escaping @Sendable (_ overlays: [String]) throws(ModelFileError) -> any Denoiser,
    onEstimate: @escaping @Sendable (CalibrationEstimate, _ finishedLayers: Int?) throws -> Void,
    onProgress: @escaping @Sendable (Progress) -> Void
  ) {
    self.options = options
    self.plan = plan
    self.modulation = modulation
    self.store = store
    self.pool = pool
    self.open = open
    self.onEstimate = onEstimate
    self.onProgress = onProgress
    tensors = Dictionary(
      plan.tensors.filter(\.isRounded).map { ($0.source.name, $0) }, uniquingKeysWith: { $1 })
  }

  /// Calibrates what an earlier run has not.
  ///
  /// - Parameter pipeline: the model.
  /// - Returns: the rounded matrices, and if it was asked for the relative squared error of the
  ///   products of each with each type, by our names.
  /// - Throws: `GenerationError`, `ModelFileError`, `ConversionError`, `ComputeError`.
  package func calibrate(
    _ pipeline: Pipeline
  ) async throws -> (finished: FinishedTensors, typeErrors: [String: [ElementType: Double]]) {
    try store.prepare()
    let requests = (0..<options.settings.points).map { options.settings.request($0) }
    let settings = try pipeline.settings(for: requests[0])
    let secondsPerPlace =
      try pipeline.expectedSecondsPerStep(for: settings) / (settings.usesGuidance ? 2 : 1)
    let state = try await pipeline.passingLayers(
      for: requests, hasTargets: options.hasTargets,
      scratch: { [store] byteCount throws(ModelFileError) in
        try ScratchFile(path: store.scratchPath, byteCount: byteCount)
      }, { pass in try self.calibrate(pass, secondsPerPlace: secondsPerPlace) })
    return (
      try FinishedTensors(paths: store.paths(state), productErrors: state.productErrors),
      state.typeErrors
    )
  }

  private func calibrate(
    _ pass: any LayerPassing, secondsPerPlace: Double
  ) throws -> CalibrationStore.State {
    guard let library = OpenBLAS.shared else {
      throw ConversionError.unusable("--calibrate: \(OpenBLAS.absence)")
    }
    let points = store.points(count: options.settings.points)
    let known = store.state().flatMap { $0.layers.count <= pass.layerCount ? $0 : nil }
    let estimate = try CalibrationEstimate(
      pass, tensors, hasTargets: options.hasTargets, secondsPerPlace: secondsPerPlace, library,
      on: pool)
    let finished = points == nil ? nil : known?.layers.count
    try onEstimate(estimate, finished)
    let meter = WorkMeter(estimate, finishedLayers: finished, pass, onProgress)
    var state = known ?? CalibrationStore.State()
    if let points, known != nil {
      try pass.resume(latents: points.latents, modulationInputs: points.modulationInputs)
    } else {
      state = CalibrationStore.State()
      try pass.findPoints { meter.passed($0) }
      let found = pass.state
      try store.keep(points: found.latents, modulationInputs: found.modulationInputs)
      try pass.flush()
      try store.keep(state)
    }
    while state.layers.count < pass.layerCount {
      let layer = LayerCalibration(self, pass, library, meter, layer: state.layers.count)
      try layer.run(&state)
      try pass.flush()
      try store.keep(state)
    }
    return state
  }

  // MARK: Layers

  /// The work on one layer.
  private struct LayerCalibration {
    private let run: CalibrationRun
    private let pass: any LayerPassing
    private let library: OpenBLAS
    private let meter: WorkMeter
    private let layer: Int

    init(
      _ run: CalibrationRun, _ pass: any LayerPassing, _ library: OpenBLAS, _ meter: WorkMeter,
      layer: Int
    ) {
      self.run = run
      self.pass = pass
      self.library = library
      self.meter = meter
      self.layer = layer
    }

    /// Rounds all matrices of the layer and takes the points through it.
    func run(_ state: inout CalibrationStore.State) throws {
      var files: [String] = []
      meter.begin("modulation", in: layer, done: 0)
      try round(try pass.modulationNames(of: layer), nil, &files, &state)
      try pass.begin(layer, .exact)
      try takeRounded(files)
      let stages = pass.stageCount(of: layer)
      for stage in 0..<stages {
        for group in try pass.groups(of: layer, stage: stage) {
          let names = group.weights.map(\.name).filter { run.tensors[$0] != nil }
          guard !names.isEmpty else { continue }
          meter.begin(names[0], in: layer, done: Double(stage) / Double(stages))
          let inputs = try inputs(of: group, stage)
          if run.options.measuresTypes { try measure(names, inputs, &state) }
          try round(names, inputs, &files, &state)
        }
        try takeRounded(files)
        // Nothing reads what the last one leaves.
        if layer + 1 == pass.layerCount, stage + 1 == stages { break }
        try pass.run(stage: stage, of: layer, .exact)
        if run.options.hasTargets { try pass.run(stage: stage, of: layer, .rounded) }
      }
      state.layers.append(files.count)
    }

    /// Lets the rounded stream go through what was rounded so far. Layers before this one are behind
    /// it.
    private func takeRounded(_ files: [String]) throws {
      guard run.options.hasTargets else { return }
      pass.replaceRounded(by: try run.open(files))
      try pass.begin(layer, .rounded)
    }

    /// Adds up what enters a group.
    private func inputs(of group: ProductGroup, _ stage: Int) throws -> LinearInputs {
      let targets = try targets(for: group, library)
      func rows(_ place: Int) throws -> ProductRows {
        try pass.rows(of: group, in: layer, stage: stage, place: place)
      }
      var sample: [Float] = []
      let count = min(CalibrationRun.samplePlaces, pass.placeCount)
      for index in 0..<count {
        sample += try rows(index * pass.placeCount / count).inputs
      }
      let moments = try InputMoments(
        columns: group.columns,
        order: run.options.measuresTypes
          ? .any : RoundingOrder(for: group.weights.compactMap { run.tensors[$0.name]?.type }),
        like: sample, targets: targets, library, on: run.pool)
      sample = []
      for place in 0..<pass.placeCount {
        let rows = try rows(place)
        try moments.add(rows.inputs, differences: rows.differences)
      }
      guard let inputs = try moments.inputs(damping: run.options.damping) else {
        throw ConversionError.unusable(
          "--calibrate: what enters '\(group.weights[0].name)' is not finite; the weights are "
            + "damaged, or their type cannot hold them")
      }
      return inputs
    }

    /// What weights of a group are moved by.
    private func targets(
      for group: ProductGroup, _ library: OpenBLAS
    ) throws -> RoundingTargets? {
      guard run.options.hasTargets else { return nil }
      return group.takesProducts
        ? try .products(rows: group.outputs, columns: group.columns, library, on: run.pool)
        : try .moments(columns: group.columns, library, on: run.pool)
    }

    /// Finds out what each type would lose.
    private func measure(
      _ names: [String], _ inputs: LinearInputs, _ state: inout CalibrationStore.State
    ) throws {
      let rounding = RoundingErrors(
        importance: nil, inputs: { _, columns in columns == inputs.columns ? inputs : nil },
        quality: run.options.quality, on: run.pool)
      for name in names {
        guard let tensor = run.tensors[name] else { continue }
        let types = RoundingErrors.types(for: tensor)
        let errors = try rounding.errors(of: tensor, as: types)
        state.typeErrors[name] = Dictionary(zip(types, errors), uniquingKeysWith: { $1 })
      }
    }

    /// Rounds matrices for what enters them and keeps them in a file; without inputs for what is
    /// known of the modulation.
    private func round(
      _ names: [String], _ inputs: LinearInputs?, _ files: inout [String],
      _ state: inout CalibrationStore.State
    ) throws {
      let chosen = names.compactMap { run.tensors[$0] }
      guard !chosen.isEmpty else { return }
      var options = ConversionOptions()
      options.quality = run.options.quality
      options.allowsNotFinite = run.options.allowsNotFinite
      if let inputs {
        options.inputs = { _, columns in columns == inputs.columns ? inputs : nil }
      } else if let modulation = run.modulation {
        options.use(modulation)
      }
      let path = run.store.matrixPath(layer: layer, files.count)
      let overlay = try ConversionPlan(
        overlay: chosen.map { (source: $0.source, type: $0.type) }, of: run.plan, path: path)
      let outcomes = try Converter.write(
        overlay, to: path, overwrite: true, options: options, on: run.pool, progress: { _, _ in })
      for outcome in outcomes { state.productErrors[outcome.name] = outcome.productError }
      files.append(path)
    }
  }
}
