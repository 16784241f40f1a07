import AuraFlowFamily
import Checkpoints
import Foundation
import ModelCatalog
import ModelFiles
import Networks
import Sampling
import Tensors
import Tokenizers

/// An AuraFlow model, opened and checked, that turns prompts into pictures.
///
/// Opening maps the files and checks every tensor against the architecture; weights are read while
/// they are used. One pipeline may serve several tasks at once: with a limit on memory they take
/// turns, without one they share the threads of the system's dispatch pool.
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
  /// Largest width and height that the model has positions for.
  public let largestSide: Int
  /// The files that the model consists of.
  public let files: [String]
  /// Most threads that each generation computes on at a time.
  public let threadCount: Int
  /// How products with quantized weights round their activations.
  public let activations: ActivationPrecision
  /// Memory that generations may use.
  public let memory: MemoryBudget

  /// What is strange about the files without being a fault: lines.
  let fileNotes: [String]
  let tokenizer: Tokenizer
  let textEncoder: UMT5Encoder
  let transformer: AuraFlowTransformer
  let decoder: any LatentDecoder
  let trainTimesteps: Int
  /// Resident memory of the program with the opened model, before any weights were used.
  let baseBytes: Int
  /// With a limit on memory, generations take turns: each plans with all of it.
  private let turn = DispatchSemaphore(value: 1)

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
  ///   - activations: how products with quantized weights round their activations.
  ///   - memory: what generations may use; weights that do not fit are read at each use.
  /// - Throws: `ModelFileError` naming the first missing part or faulty file.
  public init(
    _ paths: ModelPaths, hints: ArchitectureHints = ArchitectureHints(), threadCount: Int? = nil,
    activations: ActivationPrecision = .auto, memory: MemoryBudget = .auto
  ) throws(ModelFileError) {
    let sources = try ModelSources(paths, hints: hints, in: .known)
    let (text, denoiser, image) = (
      try sources.part(AuraFlow.textEncoder), try sources.part(AuraFlow.transformer),
      try sources.part(AuraFlow.autoencoder)
    )
    let modelDefaults = try ModelDefaults(sources)
    tokenizer = try Tokenizer(sources.tokenizer)
    textEncoder = try UMT5Encoder(text)
    transformer = try AuraFlowTransformer(denoiser)
    decoder =
      if TinyDecoder.describes(image) {
        try TinyDecoder(image)
      } else {
        try AutoencoderDecoder(image)
      }
    trainTimesteps = modelDefaults.trainTimesteps
    upscaling = decoder.upscaling
    latentScale = decoder.latentScale
    sizeMultiple = decoder.upscaling * transformer.configuration.patchSize
    largestSide = transformer.largestLatentSide * decoder.upscaling
    self.threadCount = threadCount ?? availableCoreCount()
    self.activations = activations
    self.memory = memory
    baseBytes = ProcessStatus.residentBytes
    files = sources.files
    fileNotes = sources.notes
    var defaults = modelDefaults.generation
    // Models with few positions cannot serve AuraFlow's default size.
    defaults.width = min(defaults.width, largestSide) / sizeMultiple * sizeMultiple
    defaults.height = min(defaults.height, largestSide) / sizeMultiple * sizeMultiple
    self.defaults = defaults
    try checkFit(text, denoiser, image, sources.tokenizer)
  }

  /// Checks that the parts belong to one model.
  private func checkFit(
    _ text: PartSource, _ denoiser: PartSource, _ image: PartSource, _ tokens: TokenizerSource
  ) throws(ModelFileError) {
    let sizes = transformer.configuration
    guard textEncoder.configuration.width == sizes.textWidth else {
      throw text.weights.malformed(
        "the text encoder gives \(textEncoder.configuration.width) features, the transformer's "
          + "tensor '\(denoiser.weights.storedName("cond_seq_linear.weight"))' expects "
          + "\(sizes.textWidth): they belong to different models")
    }
    guard decoder.latentChannels == sizes.latentChannels else {
      throw image.weights.malformed(
        "the VAE decodes \(decoder.latentChannels) latent channels, the transformer makes "
          + "\(sizes.latentChannels): they belong to different models")
    }
    guard Int(tokenizer.largestID) < textEncoder.configuration.vocabularySize else {
      throw text.weights.unfit(
        "token_embd.weight",
        expected: "at least \(Int(tokenizer.largestID) + 1) rows for the ids of the tokenizer "
          + "\(tokens.path): a row is missing, or they belong to different models")
    }
  }

  /// Runs `body` when no other generation does, if memory is limited.
  private func takingTurns<Value>(
    _ pool: ThreadPool, _ body: () throws(GenerationError) -> Value
  ) throws(GenerationError) -> Value {
    guard memory != .max else { return try body() }
    while turn.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
      if pool.isCancelled { throw .cancelled }
    }
    defer { turn.signal() }
    return try body()
  }

  /// Makes the pictures of a request.
  ///
  /// Pictures are made one after another, unless weights are read again at each step for want of
  /// memory: then all go through each step together, which reads the weights once for all. They are
  /// the same bits either way.
  ///
  /// The work runs on the system's dispatch pool, off the cooperative threads of Swift's tasks;
  /// cancelling the task ends it within a fraction of a layer.
  ///
  /// - Parameters:
  ///   - request: what to generate.
  ///   - onProgress: called when a stage begins and when a step ends, on a working thread.
  ///   - onImage: called when a picture is finished, on a working thread; the next one waits for it.
  /// - Returns: pictures, final latents, and what was really done.
  /// - Throws: `GenerationError`; pictures that were finished before have been handed over.
  @discardableResult
  public func generate(
    _ request: GenerationRequest,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void = { _ in },
    onImage: @escaping @Sendable (GeneratedImage) -> Void = { _ in }
  ) async throws(GenerationError) -> GenerationResult {
    try await run(request, limit: memory.limit, sums: nil, onProgress: onProgress) {
      run throws(GenerationError) in try run(onImage)
    }
  }

  /// Plans a generation and runs `body` on it, off the cooperative threads, when it is its turn.
  func run<Value: Sendable>(
    _ request: GenerationRequest, limit: Int?, sums: ActivationSums?,
    onProgress: @escaping @Sendable (GenerationProgress) -> Void,
    _ body: @escaping @Sendable (GenerationRun) throws(GenerationError) -> Value
  ) async throws(GenerationError) -> Value {
    let settings = try settings(for: request)
    let pool = ThreadPool(
      threadCount: threadCount, activations: activations, activationSums: sums)
    let result: Result<Value, GenerationError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        // Hours of arithmetic do not belong on the cooperative pool.
        DispatchQueue.global(qos: .userInitiated).async {
          continuation.resume(
            returning: Result { () throws(GenerationError) in
              try self.takingTurns(pool) { () throws(GenerationError) in
                try body(
                  GenerationRun(
                    pipeline: self, request: request, settings: settings, pool: pool,
                    plan: self.memoryPlan(for: settings, limit: limit), onProgress: onProgress))
              }
            })
        }
      }
    } onCancel: {
      pool.cancel()
    }
    return try result.get()
  }
}

/// Cores that this process may run on.
public func availableCoreCount() -> Int { max(1, ProcessInfo.processInfo.activeProcessorCount) }
