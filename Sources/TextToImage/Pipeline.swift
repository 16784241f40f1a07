import Checkpoints
import ComputeCPU
import Diffusion
import Foundation
import Machine
import ModelCatalog
import ModelFiles

/// A text-to-image model, opened and checked, that turns prompts into pictures.
///
/// Opening maps the files and checks every tensor against the architecture; weights are read while
/// they are used. One pipeline may serve several tasks at once: they take turns, first come, first
/// served, since each plans with all of the memory and computes on all threads.
///
/// ```swift
/// let pipeline = try Pipeline(path: "aura_flow_0.3.gguf")
/// var request = GenerationRequest(prompt: "a lighthouse at dawn")
/// request.seed = 7
/// let result = try await pipeline.generate(request) { print($0.step, "of", $0.stepCount) }
/// try Data(result.images[0].pngData()).write(to: URL(fileURLWithPath: "lighthouse.png"))
/// ```
public final class Pipeline: Sendable {
  /// What the model suggests where a request says nothing.
  public let defaults: GenerationDefaults
  /// Width and height must be multiples of this.
  public let sizeMultiple: Int
  /// Picture pixels per latent pixel and side.
  public let upscaling: Int
  /// What an autoencoder's own latents, as ComfyUI keeps them, are multiplied by to become those of
  /// requests and results.
  public let latentScale: Float
  /// What is taken from an autoencoder's own latents before.
  public let latentShift: Float
  /// Largest width and height that the model has positions for.
  public let largestSide: Int
  /// The files that the model consists of.
  public let files: [String]
  /// Most threads that each generation computes on at a time.
  public let threadCount: Int
  /// How products with quantized weights quantize their activations.
  public let activations: ActivationPrecision
  /// Memory that generations may use.
  public let memory: MemoryBudget

  /// The model's family, as embeds name it.
  let familyName: String
  /// The tokenizers that were named by themselves.
  package let namedTokenizers: [SlotTokenizer]
  /// What is strange about the files without being a fault: lines.
  let fileNotes: [String]
  let model: any DiffusionModel
  /// What makes latents of pictures, or why there is nothing that does.
  let encoder: Result<any LatentEncoder, ModelFileError>
  /// What the model's scheduler asks for that is not supported: a line; nil if there is nothing.
  public var schedulerFault: String? { scheduler.fault }
  /// What the model's files say of sampler and levels.
  let scheduler: ModelScheduler
  /// How strongly noise levels are pulled towards 1, unless a request says otherwise.
  let shift: LevelShift
  /// Resident memory of the program with the opened model, before any weights were used.
  let baseBytes: Int
  /// What requests of this model need.
  let rehearsals = RehearsalCache()
  /// Generations take turns: each plans with all of the memory and computes on all threads.
  let queue: GenerationQueue

  /// Opens a model from one path: a diffusers folder or a file with all parts.
  ///
  /// - Parameters:
  ///   - path: the folder or file.
  ///   - threadCount: threads to compute on; nil uses every core that the process may run on.
  /// - Throws: `ModelFileError` naming the first missing part or faulty file.
  public convenience init(path: String, threadCount: Int? = nil) throws(ModelFileError) {
    try self.init(ModelPaths(model: path), threadCount: threadCount)
  }

  /// Opens a model from one path or from separate files for its parts.
  ///
  /// - Parameters:
  ///   - paths: where the parts are.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - threadCount: threads to compute on; nil uses every core that the process may run on.
  ///   - activations: how products with quantized weights quantize their activations.
  ///   - memory: what generations may use; weights that do not fit are read at each use.
  ///   - waitingLimit: generations that may wait for their turn; one more is refused with
  ///     `GenerationError.busy`.
  /// - Throws: `ModelFileError` naming the first missing part or faulty file.
  public init(
    _ paths: ModelPaths, hints: ArchitectureHints = ArchitectureHints(), threadCount: Int? = nil,
    activations: ActivationPrecision = .auto, memory: MemoryBudget = .auto,
    waitingLimit: Int = 64
  ) throws(ModelFileError) {
    queue = GenerationQueue(capacity: waitingLimit)
    let sources = try ModelSources(paths, hints: hints, in: .known)
    let modelDefaults = try ModelDefaults(sources)
    let model = try FamilyCatalog.known.open(
      sources, trainTimesteps: modelDefaults.schedule.trainTimesteps)
    self.model = model
    familyName = sources.family.name
    encoder = Result { () throws(ModelFileError) in
      try Self.encoder(paths, hints, sources, model.codec)
    }
    shift = modelDefaults.schedule.shift
    let mixture = model.schedule(shift: .fixed(1), size: LatentSize(height: 2, width: 2)).mixture
    let scheduler = try sources.scheduler.map { (file) throws(ModelFileError) in
      try ModelScheduler(file, for: mixture)
    }
    self.scheduler = scheduler ?? ModelScheduler()
    let geometry = model.denoiser.geometry
    upscaling = model.codec.upscaling
    latentScale = model.codec.latentScaling.scale
    latentShift = model.codec.latentScaling.shift
    sizeMultiple = upscaling * geometry.sideMultiple
    largestSide = upscaling * geometry.largestSide
    self.threadCount = threadCount ?? availableCoreCount()
    self.activations = activations
    self.memory = memory
    baseBytes = ProcessStatus.residentBytes
    files = sources.files
    fileNotes = sources.notes
    namedTokenizers = sources.namedTokenizers
    var defaults = modelDefaults.generation
    try modelDefaults.checkSize(sources, multiple: sizeMultiple)
    defaults.sampler = self.scheduler.fault == nil ? self.scheduler.sampler : nil
    // Models with few positions cannot serve the family's default size.
    defaults.width = min(defaults.width, largestSide) / sizeMultiple * sizeMultiple
    defaults.height = min(defaults.height, largestSide) / sizeMultiple * sizeMultiple
    self.defaults = defaults
  }

  /// Makes the pictures of a request.
  ///
  /// Pictures are made one after another, unless weights are read again at each step for want of
  /// memory: then up to eight go through each step together, which reads the weights once for all.
  /// They are the same bits either way.
  ///
  /// The work runs on the system's dispatch pool, off the cooperative threads of Swift's tasks;
  /// cancelling the task ends it within a fraction of a layer.
  ///
  /// - Parameters:
  ///   - request: what to generate.
  ///   - onProgress: called when a stage begins and when a step ends, on a working thread.
  ///   - onStepEnd: called when a step has ended, on a working thread; it may change the latents or
  ///     end the generation.
  ///   - onImage: called when a picture is finished, on a working thread; the next one waits for
  ///     it.
  /// - Returns: pictures, final latents, and what was really done.
  /// - Throws: `GenerationError`; pictures that were finished before have been handed over.
  @discardableResult
  public func generate(
    _ request: GenerationRequest,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void = { _ in },
    onStepEnd: (@Sendable (inout GenerationStep) -> Void)? = nil,
    onImage: @escaping @Sendable (GeneratedImage) -> Void = { _ in }
  ) async throws(GenerationError) -> GenerationResult {
    let shape = latentShape(for: try settings(for: request))
    return try await run(request, onProgress: onProgress) { run throws(GenerationError) in
      var made: [GeneratedImage] = []
      let statistics = try run.generate(onStepEnd) { image in
        made.append(image)
        onImage(image)
      }
      return GenerationResult(made, statistics, latentShape: shape)
    }
  }

  /// Makes the pictures of several requests.
  ///
  /// Prompts are encoded before the denoiser's weights are read: all of them, or as many as an
  /// eighth of the memory holds. Where weights are read again at each step, pictures of requests
  /// that agree in size, noise levels, sampler and guidance go through the steps together, as those
  /// of one request do. Pictures are the same bits as those of one request after the other; their
  /// order may be another.
  ///
  /// - Parameters:
  ///   - requests: what to generate; pictures are not kept, `onImage` has them.
  ///   - onProgress: called when a stage begins and when a step ends, on a working thread.
  ///   - onStepEnd: called when a step has ended, on a working thread; it may change the latents,
  ///     keep what is needed to go on later, or end the run.
  ///   - onImage: called when a picture is finished, on a working thread; the next one waits for
  ///     it.
  /// - Returns: time and memory of the run.
  /// - Throws: `GenerationError`; pictures that were finished before have been handed over.
  @discardableResult
  public func generate(
    _ requests: [GenerationRequest],
    onProgress: @escaping @Sendable (GenerationProgress) -> Void = { _ in },
    onStepEnd: (@Sendable (inout GenerationStep) -> Void)? = nil,
    onImage: @escaping @Sendable (GeneratedImage) -> Void
  ) async throws(GenerationError) -> GenerationStatistics {
    guard !requests.isEmpty else { return GenerationStatistics() }
    return try await run(requests, onProgress: onProgress) { run throws(GenerationError) in
      try run.generate(onStepEnd, onImage)
    }
  }

  /// Plans a generation and runs `body` on it, off the cooperative threads, when it is its turn.
  ///
  /// - Parameters:
  ///   - request: what to generate.
  ///   - reserved: bytes of the budget that somebody else takes.
  ///   - observer: who is told of the work.
  ///   - onProgress: told of stages and steps.
  ///   - body: what to do.
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws, or `GenerationError` for a request that cannot be met or had no
  ///   turn.
  func run<Value: Sendable>(
    _ request: GenerationRequest, reserving reserved: Int = 0,
    observer: (any WorkObserver)? = nil,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void,
    _ body: @escaping @Sendable (any PictureRun) throws(GenerationError) -> Value
  ) async throws(GenerationError) -> Value {
    try await run(
      [request], reserving: reserved, observer: observer, onProgress: onProgress, body)
  }

  /// The same for several requests; at least one.
  private func run<Value: Sendable>(
    _ requests: [GenerationRequest], reserving reserved: Int = 0,
    observer: (any WorkObserver)? = nil,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void,
    _ body: @escaping @Sendable (any PictureRun) throws(GenerationError) -> Value
  ) async throws(GenerationError) -> Value {
    // All are checked before any work begins.
    for request in requests { _ = try settings(for: request) }
    return try await turn(observer: observer) { (device) throws(GenerationError) in
      let limit = self.memory.limit.map { max(0, $0 - reserved) }
      return try body(try self.line(self.model, requests, limit, device, onProgress))
    }
  }

  /// Runs `body` off the cooperative threads, when it is its turn.
  ///
  /// - Parameters:
  ///   - observer: who is told of the work.
  ///   - body: what to do on a device.
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws, or `GenerationError` if it had no turn.
  func turn<Value: Sendable>(
    observer: (any WorkObserver)? = nil,
    _ body: @escaping @Sendable (CPUDevice) throws(GenerationError) -> Value
  ) async throws(GenerationError) -> Value {
    let device = device(observer: observer)
    try await enterQueue()
    defer { queue.leave() }
    let result: Result<Value, GenerationError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        // Hours of arithmetic do not belong on the cooperative pool.
        DispatchQueue.global(qos: .userInitiated).async {
          continuation.resume(
            returning: Result { () throws(GenerationError) in try body(device) })
        }
      }
    } onCancel: {
      device.pool.cancel()
    }
    return try result.get()
  }

  func enterQueue() async throws(GenerationError) {
    do throws(GenerationQueue.Refusal) {
      try await queue.enter()
    } catch {
      switch error {
      case .cancelled: throw .cancelled
      case .full(let waiting): throw .busy(waiting: waiting)
      }
    }
  }

  /// The line of some requests, planned; refused if memory does not suffice.
  private func line<Model: DiffusionModel>(
    _ model: Model, _ requests: [GenerationRequest], _ limit: Int?, _ device: CPUDevice,
    _ onProgress: @escaping @Sendable (GenerationProgress) -> Void
  ) throws(GenerationError) -> any PictureRun {
    let long = LongRun(
      pipeline: self, model: model, slices: Self.slices(of: requests),
      limit: limit.map { max(0, $0 - Self.bytes(of: requests)) }, device: device,
      onProgress: onProgress)
    return long.slices.count > 1 ? long : try long.part(0)
  }

  /// A device to compute on.
  func device(observer: (any WorkObserver)? = nil) -> CPUDevice {
    CPUDevice(threadCount: threadCount, activations: activations, observer: observer)
  }
}

/// Cores that this process may run on.
public func availableCoreCount() -> Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }
