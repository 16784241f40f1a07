import Compute
import Diffusion

/// A run of more requests than are prepared at once: one part after the other.
struct LongRun<Model: DiffusionModel>: PictureRun {
  let pipeline: Pipeline
  let model: Model
  /// The requests of each part.
  let slices: [ArraySlice<GenerationRequest>]
  /// Bytes that the process may hold; nil for no limit.
  let limit: Int?
  let device: any ComputeDevice
  let onProgress: @Sendable (GenerationProgress) -> Void

  /// A part, prepared and planned.
  func part(_ number: Int) throws(GenerationError) -> GenerationRun<Model> {
    let (requests, starts) = try pipeline.runRequests(model, slices[number])
    return GenerationRun(
      model: model, chunks: try pipeline.chunks(requests, limit: limit), starts: starts,
      encoder: starts.isEmpty ? nil : try pipeline.openedEncoder(), device: device,
      onProgress: onProgress)
  }

  func generate(
    _ onStepEnd: ((inout GenerationStep) -> Void)?, _ onImage: (GeneratedImage) -> Void
  ) throws(GenerationError) -> GenerationStatistics {
    var total = GenerationStatistics()
    for number in slices.indices {
      let before = total
      let made = try part(number).generate(onStepEnd) { onImage($0.adding(before)) }
      total = before.adding(made)
    }
    return total
  }

  // The other entries are for one request.

  func measure() throws(GenerationError) -> MeasuredGeneration { try part(0).measure() }

  func velocities(at points: [TrajectoryPoint]) throws(GenerationError) -> [[Float]] {
    try part(0).velocities(at: points)
  }

  func encode(_ prompts: [String], rows: Int) throws(GenerationError) {
    try part(0).encode(prompts, rows: rows)
  }

  func modulationInputs(
    levels: [Float], guidance: [Float?]
  ) throws(GenerationError) -> (rows: [Float], columns: Int) {
    try part(0).modulationInputs(levels: levels, guidance: guidance)
  }
}

extension Pipeline {
  /// Most requests that are prepared at once.
  private static let sliceLength = 256

  /// A run's requests in parts, each of which is prepared when its turn comes; at least one.
  static func slices(of requests: [GenerationRequest]) -> [ArraySlice<GenerationRequest>] {
    stride(from: 0, to: max(1, requests.count), by: sliceLength).map {
      requests[$0..<min(requests.count, $0 + sliceLength)]
    }
  }

  /// What a run's requests take while it goes on, about: their texts, latents and pictures to start
  /// from, and what is kept of them in a part that is prepared.
  static func bytes(of requests: [GenerationRequest]) -> Int {
    guard requests.count > 1 else { return 0 }
    // Arrays that several requests have in common, by their places.
    var seen: Set<UnsafeRawPointer?> = []
    return requests.reduce(0) { sum, request in
      var bytes = 4096 + request.prompt.utf8.count + request.negativePrompt.utf8.count
      bytes += 4 * ((request.latents?.count ?? 0) + (request.sigmas?.count ?? 0))
      bytes += 4 * (request.latentsBlend?.latents.count ?? 0)
      for embeds in [request.embeds, request.embedsBlend?.embeds].compactMap(\.self) {
        let place = embeds.encodedPrompt.states.withUnsafeBytes { $0.baseAddress }
        if seen.insert(place).inserted { bytes += embeds.byteCount }
      }
      for image in [request.picture?.image, request.picture?.mask].compactMap(\.self) {
        // Requests that start from one picture share its pixels.
        let place = image.pixels.withUnsafeBytes { $0.baseAddress }
        if seen.insert(place).inserted { bytes += image.pixels.count }
      }
      return sum + bytes
    }
  }
}

extension GenerationStatistics {
  /// Those of a run that goes on after another part of it.
  func adding(_ next: GenerationStatistics) -> GenerationStatistics {
    var sum = self
    sum.encoderSeconds += next.encoderSeconds
    sum.textEncoderSeconds += next.textEncoderSeconds
    sum.scheduleSeconds += next.scheduleSeconds
    sum.stepSeconds += next.stepSeconds
    sum.decoderSeconds += next.decoderSeconds
    sum.totalSeconds += next.totalSeconds
    sum.peakResidentBytes = max(peakResidentBytes, next.peakResidentBytes)
    return sum
  }
}

extension GeneratedImage {
  /// The same with the statistics of what came before.
  fileprivate func adding(_ before: GenerationStatistics) -> GeneratedImage {
    GeneratedImage(
      request: request, index: index, image: image, latents: latents, settings: settings,
      droppedTokens: droppedTokens, statistics: before.adding(statistics))
  }
}
