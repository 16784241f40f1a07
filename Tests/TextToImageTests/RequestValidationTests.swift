import TextToImage
import Testing

@Suite("Requests are completed and checked before any work") struct RequestValidationTests {
  private let pipeline: Pipeline

  init() throws { pipeline = try Pipeline(path: try ShippedModel.path(), threadCount: 1) }

  private func fault(_ change: (inout GenerationRequest) -> Void) -> String? {
    var request = GenerationRequest(prompt: "a red apple")
    change(&request)
    do throws(GenerationError) {
      _ = try pipeline.settings(for: request)
      return nil
    } catch {
      guard case .invalidRequest(let fault) = error else { return "another error: \(error)" }
      return fault
    }
  }

  @Test("whatever is nil takes the model's default")
  func defaults() throws {
    let defaults = pipeline.defaults
    let settings = try pipeline.settings(for: GenerationRequest(prompt: "x"))
    #expect(settings.width == defaults.width && settings.height == defaults.height)
    #expect(settings.steps == defaults.steps && settings.shift == defaults.shift)
    #expect(settings.guidanceScale == defaults.guidanceScale)
    #expect(settings.maxSequenceLength == defaults.maxSequenceLength)
    #expect(settings.seeds == [0] && settings.sigmas.count == settings.steps + 1)
    #expect(settings.sigmas.first == 1 && settings.sigmas.last == 0)
    #expect(settings.usesGuidance)
    let shape = [1, 4, settings.height / pipeline.upscaling, settings.width / pipeline.upscaling]
    #expect(pipeline.latentShape(for: settings) == shape)
  }

  @Test("seeds count up from the first, past the largest to 0")
  func seeds() throws {
    var request = GenerationRequest(prompt: "x")
    (request.seed, request.imageCount) = (.max, 3)
    #expect(try pipeline.settings(for: request).seeds == [.max, 0, 1])
  }

  @Test("pictures to make are of the request, and what they go on with fits it")
  func unfinished() throws {
    #expect(fault { ($0.imageCount, $0.images) = (3, [0, 2]) } == nil)
    for images in [[], [3], [-1], [1, 1]] {
      #expect(fault { ($0.imageCount, $0.images) = (3, images) } != nil, "\(images)")
    }
    func goingOn(
      _ image: Int, step: Int, count: Int = 1024, value: Float = 0, history: Int = 0,
      noises: Int = 0
    ) -> String? {
      let values = [Float](repeating: value, count: count)
      return fault { request in
        (request.width, request.height, request.steps) = (128, 128, 4)
        request.sampling.sampler = history > 0 ? .dpmpp2M : .euler
        request.unfinished[image] = UnfinishedPicture(
          step: step, latents: values, history: Array(repeating: values, count: history),
          noiseCount: noises)
      }
    }
    #expect(goingOn(0, step: 1) == nil && goingOn(0, step: 4) == nil)
    #expect(goingOn(0, step: 2, history: 1) == nil)
    for fault in [
      goingOn(0, step: 0), goingOn(0, step: 5), goingOn(0, step: .max), goingOn(1, step: 1),
      goingOn(0, step: 1, count: 1023), goingOn(0, step: 1, count: 0),
      goingOn(0, step: 1, value: .nan),
      goingOn(0, step: 2, history: 2), goingOn(0, step: 2, noises: -1),
      goingOn(0, step: 2, noises: .max),
    ] {
      #expect(fault?.contains("unfinished picture") == true, "\(fault ?? "none")")
    }
  }

  @Test("sides are positive multiples; the nearest that the model can do is named")
  func sides() {
    let (multiple, largest) = (pipeline.sizeMultiple, pipeline.largestSide)
    #expect(
      fault { $0.width = 100 }
        == "width 100 is not a positive multiple of \(multiple); the nearest is 96")
    #expect(
      fault { $0.height = 1 }
        == "height 1 is not a positive multiple of \(multiple); the nearest is \(multiple)")
    for side in [0, -multiple, .min] { #expect(fault { $0.width = side } != nil, "\(side)") }
    #expect(
      fault { $0.width = largest + multiple }
        == "width \(largest + multiple) is more than the \(largest) pixels that this model has "
        + "positions for")
    #expect(fault { $0.height = .max } == "height \(Int.max) is too large")
    #expect(fault { ($0.width, $0.height) = (largest, largest) } == nil)
  }

  @Test("numbers must be in their ranges")
  func numbers() {
    #expect(fault { $0.imageCount = 0 } == "number of images 0 is outside of 1...256")
    #expect(fault { $0.imageCount = 257 } != nil)
    #expect(fault { $0.steps = 0 } == "number of steps 0 is outside of 1...10000")
    #expect(fault { $0.steps = 10_001 } != nil)
    #expect(
      fault { $0.maxSequenceLength = 4097 } == "max sequence length 4097 is outside of 1...4096")
    for scale in [Double.nan, .infinity, 1001, -1001] {
      #expect(fault { $0.guidanceScale = scale }?.hasPrefix("guidance scale ") == true, "\(scale)")
    }
    for shift in [Double.nan, 0, -1, 1e4] {
      #expect(fault { $0.shift = shift }?.hasPrefix("shift ") == true, "\(shift)")
    }
    #expect(fault { $0.guidanceScale = -1000 } == nil)
  }

  @Test("prompts have a largest size in bytes")
  func prompts() {
    let longest = Pipeline.maximumPromptLength
    #expect(fault { $0.prompt = String(repeating: "a", count: longest) } == nil)
    #expect(
      fault { $0.negativePrompt = String(repeating: "é", count: longest / 2 + 1) }
        == "the negative prompt has \(longest + 2) bytes, at most \(longest) are allowed")
  }

  @Test("levels of one's own replace the number of steps")
  func sigmas() throws {
    for bad in [[], [1.5], [-0.1], [.nan]] as [[Double]] {
      #expect(fault { $0.sigmas = bad } == "sigmas must be 1 to 10000 numbers in 0...1", "\(bad)")
    }
    #expect(fault { ($0.sigmas, $0.steps) = ([1, 0.5], 3) } != nil)
    var request = GenerationRequest(prompt: "x")
    (request.sigmas, request.steps, request.shift) = ([1, 0.5], 2, 1)
    #expect(try pipeline.settings(for: request).sigmas == [1, 0.5, 0])
  }

  @Test("given latents fit the pictures and are finite")
  func latents() {
    let count = 4 * (128 / pipeline.upscaling) * (128 / pipeline.upscaling)
    func fault(_ latents: [Float]) -> String? {
      self.fault { ($0.width, $0.height, $0.latents) = (128, 128, latents) }
    }
    #expect(fault([Float](repeating: 0, count: count)) == nil)
    #expect(
      fault([Float](repeating: 0, count: count - 1))?.contains("expected shape [1, 4") == true)
    #expect(
      fault([Float](repeating: .nan, count: count))
        == "the initial latents hold NaN or infinite values")
  }

  @Test("what has no effect, or is cut, is said before the work begins")
  func notes() throws {
    var request = GenerationRequest(prompt: String(repeating: "apple ", count: 100))
    (request.negativePrompt, request.guidanceScale) = ("blue", 1)
    let notes = try pipeline.notes(on: [request])
    #expect(notes.contains { $0.hasPrefix("the prompt is cut: ") })
    #expect(notes.contains("the negative prompt has no effect at a guidance scale of 1 or less"))
    #expect(try pipeline.notes(on: [GenerationRequest(prompt: "apple")]).isEmpty)
  }
}
