import Diffusion
import Machine

/// What would fit where a budget does not hold.
struct MemoryAdvice: Sendable {
  /// The least budget that the request can do with.
  let leastBytes: Int
  /// The largest picture of about the same proportions that the budget can do; nil if none.
  let size: (width: Int, height: Int)?

  init<Model>(_ pipeline: Pipeline, _ request: PreparedRequest<Model>, _ plan: MemoryPlan) {
    leastBytes = pipeline.leastMemory(for: request)
    let settings = request.settings
    let multiple = pipeline.sizeMultiple
    func scaled(_ side: Int, _ twentieths: Int) -> Int {
      max(multiple, side * twentieths / 20 / multiple * multiple)
    }
    let budget = plan.budget.map { $0 - Pipeline.variationBytes }
    size = (1..<20).reversed().lazy
      .map { (width: scaled(settings.width, $0), height: scaled(settings.height, $0)) }
      .first { size in
        pipeline.memoryPlan(
          for: request.resized(width: size.width, height: size.height), limit: budget
        ).fits
      }
  }

  /// One line: what is needed, and what to do.
  func message(_ settings: GenerationSettings, _ plan: MemoryPlan) -> String {
    let needed = "\(settings.width)x\(settings.height) needs \(formattedBytes(leastBytes))"
    let given = plan.budget.map { ", \(formattedBytes($0)) may be used" } ?? ""
    // Rounded up, so that what is recommended works.
    let step = 64 << 20
    let allowed = "--memory \((leastBytes + step - 1) / step * 64)MiB"
    let smaller = size.map { ", or \($0.width)x\($0.height)" } ?? ""
    return "\(needed) of memory\(given): allow \(allowed)\(smaller)"
  }
}

extension Pipeline {
  /// What the same program may have resident more in another process, or at another time: the
  /// kernel maps pages of files ahead as the page cache has them, and counts them in batches.
  /// Between runs one after another 0.23 MiB were measured.
  static let variationBytes = 1 << 20

  /// The least memory, in bytes, with which a request can be met, now and in another process.
  public func leastMemory(for settings: GenerationSettings) -> Int {
    func least<Model: DiffusionModel>(_ model: Model) -> Int {
      leastMemory(for: PreparedRequest(model, settings))
    }
    return least(model)
  }

  func leastMemory<Model>(for request: PreparedRequest<Model>) -> Int {
    // A budget of nothing: what remains is what cannot be done without.
    memoryPlan(for: request, limit: 0).peakBytes + Self.variationBytes
  }
}

extension GenerationSettings {
  /// The same with another size.
  func resized(width: Int, height: Int) -> GenerationSettings {
    GenerationSettings(
      prompt: prompt, negativePrompt: negativePrompt, width: width, height: height, steps: steps,
      guidanceScale: guidanceScale, guidance: guidance, seeds: seeds, shift: shift,
      maxSequenceLength: maxSequenceLength, sigmas: sigmas, strength: strength)
  }
}
