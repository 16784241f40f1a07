import ArgumentParser
import TextToImage

/// The pictures of one prompt of a run.
struct PictureJob: Sendable {
  var request: GenerationRequest
  /// Where they go.
  let names: [String]

  /// The same from a picture instead of noise.
  func starting(from picture: StartPicture?) -> PictureJob {
    var job = self
    job.request.picture = picture
    return job
  }

  /// Whether its pictures start from different latents of a file.
  var hasLatentsOfEach: Bool {
    names.count > 1 && (request.latents != nil || request.latentsBlend != nil)
  }

  /// Most pictures of a run.
  private static let maximumCount = 100_000

  /// The work of a run, with the names and seeds of all pictures.
  ///
  /// - Parameters:
  ///   - lines: the prompts.
  ///   - options: what they have in common.
  ///   - initial: latents to start from; as many as there are pictures.
  ///   - base: what holds where no option says otherwise.
  ///   - output: the name or pattern of the pictures' files.
  /// - Returns: a job for each prompt.
  /// - Throws: `ValidationError` for names that cannot be, or too many pictures.
  static func jobs(
    _ lines: [PromptLine], _ options: PictureOptions, _ initial: LatentFile?,
    base: GenerationRequest? = nil, output: String
  ) throws -> [PictureJob] {
    // Impossible numbers are refused when settings are checked; until then a few names do.
    let repeated = max(1, min(options.numImages ?? initial?.shape[0] ?? 1, 257))
    let counts = lines.map { repeated * ($0.imageCount ?? 1) }
    let total = counts.reduce(0, +)
    guard total <= maximumCount else {
      throw ValidationError("\(total) pictures are too many, at most \(maximumCount) are made")
    }
    let names = try OutputNames(output).names(count: total)
    var first = 0
    return try zip(lines, counts).map { line, count in
      var common = options.sampling.request(prompt: line.text, base: base)
      common.seed &+= UInt64(first)
      var request = line.request(common)
      request.imageCount = options.numImages.map { (1...256).contains($0) ? count : $0 } ?? count
      defer { first += count }
      return PictureJob(
        request: request,
        names: try line.output.map { try OutputNames($0).names(count: count) }
          ?? Array(names[first..<first + count]))
    }
  }

  /// The same, checked with the model before any of it begins.
  ///
  /// - Parameters:
  ///   - jobs: the work of a run.
  ///   - initial: latents to start from, for the only job.
  ///   - options: what the prompts have in common.
  ///   - pipeline: the model.
  ///   - savesLatents: whether all latents go into one tensor.
  /// - Returns: the jobs.
  /// - Throws: `GenerationError.invalidRequest` naming the prompt.
  static func resolved(
    _ jobs: [PictureJob], _ initial: LatentFile?, _ options: PictureOptions, _ pipeline: Pipeline,
    savesLatents: Bool
  ) throws(GenerationError) -> [PictureJob] {
    var resolved: [PictureJob] = []
    var shape: [Int]?
    for (index, job) in jobs.enumerated() {
      var job = job
      if let initial {
        job.request.latents = initial.values(for: pipeline)
        // Latents know their size.
        job.request.width = options.sampling.width ?? initial.shape[3] * pipeline.upscaling
        job.request.height = options.sampling.height ?? initial.shape[2] * pipeline.upscaling
      }
      let found: [Int]
      do throws(GenerationError) {
        found = pipeline.latentShape(for: try pipeline.checkedSettings(for: job.request))
      } catch {
        guard options.prompts.prompts != nil else { throw error }
        throw error.about("prompt \(index + 1) of \(options.prompts.source)")
      }
      if let initial, initial.shape != found {
        throw .invalidRequest(
          "--latents has shape \(initial.storedShape), this request needs \(found)")
      }
      guard !savesLatents || (shape ?? found).dropFirst() == found.dropFirst() else {
        throw .invalidRequest(
          "--save-latents takes pictures of one size: prompt \(index + 1) of "
            + "\(options.prompts.source) has another than the first")
      }
      shape = found
      resolved.append(job)
    }
    return resolved
  }
}
