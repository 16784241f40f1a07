import BlockFormats
import Checkpoints
import ComputeCPU
import Conversion
import Foundation
import Machine
import ModelFiles
import Quantization
import Synchronization
import TextToImage

/// How sensitivities are measured.
package struct SensitivitySettings: Sendable {
  /// What the model is to draw meanwhile.
  package var prompts: [String]
  package var width, height: Int
  /// Denoising steps of the paths (trajectories) on which it is measured.
  package var steps = 6
  /// Forward passes of the transformer in all, about.
  package var passes = 60
  /// The type that each group is quantized to.
  package var probe: ElementType
  package var quality = QuantizationQuality.fast
  /// How matrices are rounded for what enters them, as a text; empty where they are not.
  package var calibration = ""

  /// Measures with some prompts at a size.
  package init(prompts: [String], width: Int, height: Int, probe: ElementType) {
    self.prompts = prompts
    self.width = width
    self.height = height
    self.probe = probe
  }

  /// What the paths from noise to pictures depend on beside the model.
  package var pathDescription: String { "\(pathPrompts) \(width)x\(height) \(steps)" }
  /// What the measurements on them depend on.
  package var description: String {
    "\(passes) \(probe.name) \(quality) \(ModulationInputs.settings) \(calibration)"
  }

  /// The prompts whose paths are followed: as many as take about a quarter of the passes, spread
  /// evenly over all.
  var pathPrompts: [String] {
    let count = max(1, min(prompts.count, passes / 4 / steps))
    return (0..<count).map { prompts[$0 * prompts.count / count] }
  }
}

/// Measures how much the model's output suffers when one group of matrices is quantized: the
/// relative squared error of predicted velocities on real steps.
package struct SensitivityMeasurement: Sendable {
  /// How far it has come.
  package struct Progress: Sendable {
    package let stage: String
    /// Forward passes that are done, of all.
    package let done, total: Int
    /// Forward passes that this run has made.
    package let computed: Int
  }

  let settings: SensitivitySettings
  package let store: SensitivityStore
  let plan: ConversionPlan
  /// What is measured together.
  package let groups: [MatrixGroup]
  let open: @Sendable (_ overlay: String?) throws -> Pipeline
  let pool: ThreadPool
  let onProgress: @Sendable (Progress) -> Void

  /// - Parameters:
  ///   - settings: how to measure.
  ///   - plan: which matrices there are.
  ///   - store: where results are kept.
  ///   - pool: threads for quantization; cancelling it ends the work.
  ///   - open: opens the model with an overlay.
  ///   - onProgress: told of passes.
  package init(
    _ settings: SensitivitySettings, _ plan: ConversionPlan, _ store: SensitivityStore,
    on pool: ThreadPool, open: @escaping @Sendable (_ overlay: String?) throws -> Pipeline,
    onProgress: @escaping @Sendable (Progress) -> Void
  ) {
    self.settings = settings
    self.plan = plan
    self.store = store
    self.pool = pool
    self.open = open
    self.onProgress = onProgress
    groups = MatrixGroup.groups(of: plan)
  }

  /// What is generated to measure on; at least one.
  package var requests: [GenerationRequest] { settings.pathPrompts.indices.map(request) }

  // MARK: Cost

  /// Points at which each group is measured.
  package var pointCount: Int {
    max(1, (settings.passes - pathPasses) / (groups.count + 1))
  }

  private var pathPasses: Int { settings.pathPrompts.count * settings.steps }

  /// The least passes with which every group is measured once.
  package var leastPassCount: Int { settings.steps + groups.count + 1 }

  /// Forward passes of the transformer that a run from the beginning takes.
  package var passCount: Int { pathPasses + (groups.count + 1) * pointCount }

  /// Passes that an earlier run, if there was one, left to do.
  package var remainingPassCount: Int {
    let known = store.errors()
    let groups = groups.filter { known[$0.name] == nil }.count
    return isFinished ? 0 : (keptPaths == nil ? pathPasses : 0) + (groups + 1) * pointCount
  }

  /// Paths that an earlier run followed to their ends.
  private var keptPaths: [[[Float]]]? {
    guard importance != nil else { return nil }
    return store.paths(prompts: settings.pathPrompts.count, steps: settings.steps)
  }

  /// Whether an earlier run left nothing to do.
  package var isFinished: Bool {
    let known = store.errors()
    return groups.allSatisfy { known[$0.name] != nil } && importance != nil
  }

  /// The importance matrix of the same steps, once it is measured.
  package var importance: ImportanceMatrix? {
    try? ImportanceMatrix(path: store.importancePath, in: plan.catalog)
  }

  // MARK: Measuring

  /// A place on one of the paths.
  private struct Point: Sendable {
    let prompt: Int
    let place: TrajectoryPoint
  }

  /// Measures what is missing.
  ///
  /// - Parameters:
  ///   - modulation: what enters the modulation, if it is rounded for that.
  ///   - finished: matrices that were rounded to the types of `probe(of:)` before.
  /// - Returns: for each group the relative squared error of velocities when it is quantized to the
  ///   probe type, in the order of `groups`; and the importance matrix of the same steps.
  /// - Throws: `GenerationError`, `ModelFileError`, `ComputeError`.
  package func measure(
    _ modulation: ModulationInputs? = nil, finished: FinishedTensors? = nil
  ) async throws -> (errors: [Double], importance: ImportanceMatrix?) {
    var known = store.errors()
    var measured = importance
    if !isFinished {
      try store.prepare()
      defer { FileSystem.unlink(store.overlayPath) }
      let counter = PassCounter(total: passCount, onProgress)
      let pipeline = try open(nil)
      let points = try await points(pipeline, counter)
      let importance = try ImportanceMatrix(path: store.importancePath, in: plan.catalog)
      measured = importance
      let exact = try await velocities(pipeline, points, "reference", counter)
      for group in groups {
        guard known[group.name] == nil else {
          counter.skip(points.count)
          continue
        }
        try writeOverlay(group, importance, modulation, finished)
        let rounded = try await velocities(
          try open(store.overlayPath), points, group.name, counter)
        known[group.name] = Self.relativeError(rounded, exact)
        try store.keep(known)
      }
    }
    return (groups.map { known[$0.name] ?? 0 }, measured)
  }

  /// Points on the way from noise to each prompt's picture. The ways are those of an earlier run,
  /// if it came that far.
  private func points(_ pipeline: Pipeline, _ counter: PassCounter) async throws -> [Point] {
    let paths: [[[Float]]]
    let count = try pipeline.initialLatents(for: request(0)).count
    if let kept = keptPaths,
      kept.joined().allSatisfy({ $0.count == count && $0.allSatisfy(\.isFinite) })
    {
      counter.skip(pathPasses)
      paths = kept
    } else {
      paths = try await followPaths(pipeline, counter)
      try store.keep(paths: paths)
    }
    return (0..<pointCount).map { index in
      let prompt = index % settings.pathPrompts.count
      let step = (2 * index + 1) * settings.steps / (2 * pointCount)
      return Point(
        prompt: prompt, place: TrajectoryPoint(step: step, latents: paths[prompt][step]))
    }
  }

  /// Runs every prompt from noise to picture and measures activations.
  ///
  /// - Returns: for each prompt the latents before each step and at the end.
  private func followPaths(
    _ pipeline: Pipeline, _ counter: PassCounter
  ) async throws -> [[[Float]]] {
    let sums = ActivationSums()
    var paths: [[[Float]]] = []
    for prompt in settings.pathPrompts.indices {
      let request = request(prompt)
      let latents = Mutex([try pipeline.initialLatents(for: request)])
      _ = try await pipeline.measureActivations(of: request, into: sums) { progress in
        guard progress.stage == .denoising else { return }
        latents.withLock { $0.append(progress.latents[0]) }
        counter.count("importance")
      }
      paths.append(latents.withLock { $0 })
    }
    try store.keep(importance: sums.entries, prompts: settings.pathPrompts.count)
    return paths
  }

  private func request(_ prompt: Int) -> GenerationRequest {
    var request = GenerationRequest(prompt: settings.pathPrompts[prompt])
    request.width = settings.width
    request.height = settings.height
    request.steps = settings.steps
    request.seed = UInt64(prompt)
    return request
  }

  private func velocities(
    _ pipeline: Pipeline, _ points: [Point], _ stage: String, _ counter: PassCounter
  ) async throws -> [[Float]] {
    var velocities: [[Float]] = []
    for prompt in settings.pathPrompts.indices {
      let places = points.filter { $0.prompt == prompt }.map(\.place)
      guard !places.isEmpty else { continue }
      velocities += try await pipeline.velocities(of: request(prompt), at: places) { progress in
        if progress.stage == .denoising { counter.count(stage) }
      }
    }
    return velocities
  }

  private func writeOverlay(
    _ group: MatrixGroup, _ importance: ImportanceMatrix, _ modulation: ModulationInputs?,
    _ finished: FinishedTensors?
  ) throws {
    let matrices = group.tensors.map { index in
      let tensor = plan.tensors[index]
      return (source: tensor.source, type: probe(of: tensor))
    }
    var options = ConversionOptions()
    options.quality = settings.quality
    options.measuresErrors = false
    options.use(importance)
    if let modulation { options.use(modulation) }
    options.finished = finished
    let overlay = try ConversionPlan(overlay: matrices, of: plan, path: store.overlayPath)
    try store.writeOverlay { path in
      _ = try Converter.write(overlay, to: path, overwrite: true, options: options, on: pool) {
        _, _ in
      }
    }
  }

  /// What a matrix is quantized to while its group is measured: what is stored in the probe type
  /// already would not change, and shows what the next smaller one does.
  package func probe(of tensor: ConversionPlan.Tensor) -> ElementType {
    let ladder =
      RoundingErrors.types(for: tensor).contains(settings.probe)
      ? RoundingErrors.probes : RoundingErrors.narrowProbes
    let wanted = ladder.firstIndex(of: settings.probe) ?? 0
    let isStored = tensor.source.copiedType == ladder[wanted]
    return ladder[isStored && wanted > 0 ? wanted - 1 : wanted]
  }

  /// Mean over points of the squared relative distance.
  private static func relativeError(_ rounded: [[Float]], _ exact: [[Float]]) -> Double {
    let errors = zip(rounded, exact).map { relativeDistance($0, $1) }
    return errors.reduce(0) { $0 + $1 * $1 } / Double(max(1, errors.count))
  }
}

/// Counts passes from several threads.
private final class PassCounter: Sendable {
  private let total: Int
  private let state = Mutex((done: 0, computed: 0))
  private let onProgress: @Sendable (SensitivityMeasurement.Progress) -> Void

  init(total: Int, _ onProgress: @escaping @Sendable (SensitivityMeasurement.Progress) -> Void) {
    self.total = total
    self.onProgress = onProgress
  }

  func count(_ stage: String) {
    let state = state.withLock { state in
      state.done += 1
      state.computed += 1
      return state
    }
    onProgress(
      SensitivityMeasurement.Progress(
        stage: stage, done: state.done, total: total, computed: state.computed))
  }

  /// Leaves out passes that an earlier run made.
  func skip(_ count: Int) { state.withLock { $0.done += count } }
}
