import Foundation
import Images
import Networks
import Sampling
import Tensors

/// One generation from prompt to pictures, as a straight line.
struct GenerationRun: Sendable {
  let pipeline: Pipeline
  let request: GenerationRequest
  let settings: GenerationSettings
  let pool: ThreadPool
  let onProgress: @Sendable (GenerationProgress) -> Void

  /// Runs every stage.
  func callAsFunction() throws(GenerationError) -> GenerationResult {
    let clock = StageClock()
    var statistics = GenerationStatistics()
    // 1. Prompts to embeddings.
    report(.encodingText)
    let prompt = try encode(settings.prompt)
    let negative = settings.usesGuidance ? try encode(settings.negativePrompt) : nil
    statistics.textEncoderSeconds = clock.lap()
    // 2. Everything that depends on time alone.
    report(.preparingSchedule)
    let modulation = try computing { () throws(ComputeError) in
      try pipeline.transformer.modulation(
        times: settings.sigmas.dropLast().map(modelTime), on: pool)
    }
    statistics.scheduleSeconds = clock.lap()
    // 3. Noise to latents.
    let latents = try denoise(
      initialLatents(), prompt, negative, modulation, clock, &statistics.stepSeconds)
    // 4. Latents to pixels.
    report(.decoding, step: settings.steps)
    var images: [RGBImage] = []
    for image in latents { images.append(try decode(image)) }
    statistics.decoderSeconds = clock.lap()
    statistics.totalSeconds = clock.total()
    statistics.peakResidentBytes = peakResidentBytes()
    return GenerationResult(
      images: images, latents: latents.flatMap { $0 },
      latentShape: pipeline.latentShape(for: settings), settings: settings,
      droppedTokens: (prompt.droppedTokens, negative?.droppedTokens ?? 0), statistics: statistics)
  }

  // MARK: Text

  /// A prompt as the transformer takes it.
  private struct EncodedPrompt {
    let context: AuraFlowTransformer.Context
    let droppedTokens: Int
  }

  private func encode(_ text: String) throws(GenerationError) -> EncodedPrompt {
    let (ids, droppedCount) = pipeline.tokenizer.encodeCounting(
      text, maximumLength: settings.maxSequenceLength)
    let context = try computing { () throws(ComputeError) in
      let embedding =
        ids.isEmpty
        ? try Matrix(rows: 0, columns: pipeline.textEncoder.configuration.width)
        : try pipeline.textEncoder(ids, on: pool)
      return try pipeline.transformer.context(
        text: embedding, padding: max(0, settings.maxSequenceLength - ids.count), on: pool)
    }
    return EncodedPrompt(context: context, droppedTokens: droppedCount)
  }

  // MARK: Denoising

  private func initialLatents() -> [[Float]] {
    let shape = pipeline.latentShape(for: settings)
    let count = shape.dropFirst().reduce(1, *)
    if let latents = request.latents {
      return (0..<shape[0]).map { Array(latents[$0 * count..<($0 + 1) * count]) }
    }
    return settings.seeds.map { seed in
      var noise = TorchNoise(seed: seed)
      return noise.normal(count)
    }
  }

  private func denoise(
    _ initial: [[Float]], _ prompt: EncodedPrompt, _ negative: EncodedPrompt?,
    _ modulation: AuraFlowModulation, _ clock: StageClock, _ stepSeconds: inout [Double]
  ) throws(GenerationError) -> [[Float]] {
    var latents = initial
    let shape = pipeline.latentShape(for: settings)
    for step in 0..<settings.steps {
      // Unconditional branches first, as in the reference.
      let branches =
        (negative.map { negative in
          latents.map { AuraFlowTransformer.Branch(latents: $0, context: negative.context) }
        } ?? []) + latents.map { .init(latents: $0, context: prompt.context) }
      let velocities = try computing { () throws(ComputeError) in
        try pipeline.transformer.velocities(
          branches, height: shape[2], width: shape[3], modulation: modulation, step: step,
          on: pool)
      }
      for image in latents.indices {
        let velocity =
          negative == nil
          ? velocities[image]
          : guided(velocities[image], towards: velocities[latents.count + image])
        FlowMatchEulerScheduler.step(
          &latents[image], velocity: velocity, from: settings.sigmas[step],
          to: settings.sigmas[step + 1])
        guard latents[image].allSatisfy(\.isFinite) else {
          throw .notFinite(step: step + 1, of: settings.steps)
        }
      }
      stepSeconds.append(clock.lap())
      report(.denoising, step: step + 1, seconds: stepSeconds.last ?? 0, latents: latents)
    }
    return latents
  }

  /// Classifier-free guidance: past the unconditional velocity towards the conditional one.
  private func guided(_ unconditional: [Float], towards conditional: [Float]) -> [Float] {
    let scale = Float(settings.guidanceScale)
    return zip(unconditional, conditional).map { $0 + scale * ($1 - $0) }
  }

  private func modelTime(_ sigma: Float) -> Float {
    FlowMatchEulerScheduler(shift: settings.shift, trainTimesteps: pipeline.trainTimesteps)
      .modelTime(sigma: sigma)
  }

  // MARK: Pixels

  private func decode(_ latents: [Float]) throws(GenerationError) -> RGBImage {
    let shape = pipeline.latentShape(for: settings)
    let planes = try computing { () throws(ComputeError) in
      let input = ImagePlanes(
        planes: try Matrix(latents, rows: shape[1], columns: shape[2] * shape[3]),
        height: shape[2], width: shape[3])
      return try pipeline.decoder(input, on: pool)
    }
    let values = UnsafeBufferPointer(
      start: planes.planes.pointer, count: 3 * planes.planes.columns)
    let image = withExtendedLifetime(planes) { () -> RGBImage? in
      guard values.allSatisfy(\.isFinite) else { return nil }
      return RGBImage(planes: values, width: planes.width, height: planes.height)
    }
    guard let image else { throw .notFiniteImage }
    return image
  }

  // MARK: Reporting

  private func computing<Value>(
    _ body: () throws(ComputeError) -> Value
  ) throws(GenerationError) -> Value {
    do throws(ComputeError) {
      return try body()
    } catch {
      throw GenerationError(error)
    }
  }

  private func report(
    _ stage: GenerationProgress.Stage, step: Int = 0, seconds: Double = 0, latents: [[Float]] = []
  ) {
    onProgress(
      GenerationProgress(
        stage: stage, step: step, stepCount: settings.steps, sigma: settings.sigmas[step],
        seconds: seconds, latents: latents))
  }
}

/// Measures stages with the monotonic clock.
private final class StageClock {
  private let start = ContinuousClock.now
  private var last = ContinuousClock.now

  /// Seconds since the last call, or since the beginning.
  func lap() -> Double {
    let now = ContinuousClock.now
    defer { last = now }
    return (now - last) / .seconds(1)
  }

  func total() -> Double { (ContinuousClock.now - start) / .seconds(1) }
}

/// The most memory that this process ever had resident, in bytes (`VmHWM`).
public func peakResidentBytes() -> Int {
  guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
    let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
    let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
  else { return 0 }
  return kibibytes << 10
}
