import StrictJSON
import TextToImage

/// What is compared, beside the levels.
package struct ComparisonSettings: Sendable {
  package var prompts: [PromptLine]
  package var seeds: [UInt64]
  /// Points of each trajectory at which velocities are compared.
  package var velocityPoints = 4
  /// Threads to compute on; all cores if nil.
  package var threadCount: Int?
  /// Memory of each generation.
  package var memory = MemoryBudget.auto
  /// The program's version: another one may compute otherwise.
  package var version = ""

  /// Compares prompts with seeds.
  package init(prompts: [PromptLine], seeds: [UInt64]) {
    self.prompts = prompts
    self.seeds = seeds
  }
}

/// One prompt with one seed, resolved: the same for all levels.
struct ComparisonSubject: Sendable {
  /// Number of the prompt, from 0.
  let prompt: Int
  let seed: UInt64
  /// With every default of the reference filled in.
  let request: GenerationRequest
  let settings: GenerationSettings
  /// Steps at which velocities are compared: the middles of as many equal parts of the schedule.
  let velocitySteps: [Int]

  /// - Throws: `GenerationError.invalidRequest` naming the prompt.
  init(
    _ prompts: [PromptLine], _ prompt: Int, seed: UInt64, points: Int, _ reference: Pipeline
  ) throws(GenerationError) {
    self.prompt = prompt
    self.seed = seed
    var request = prompts[prompt].request(GenerationRequest(prompt: ""))
    request.seed = seed
    do throws(GenerationError) {
      settings = try reference.checkedSettings(for: request)
    } catch {
      throw error.about("prompt \(prompt + 1)")
    }
    request.width = settings.width
    request.height = settings.height
    request.steps = settings.steps
    request.guidanceScale = settings.guidanceScale
    request.guidance = settings.guidance
    request.shift = settings.shift
    request.maxSequenceLength = settings.maxSequenceLength
    // Files of levels may say something else of it, or nothing.
    request.sampling.sampler = settings.sampler
    request.sampling.levels = settings.levels
    self.request = request
    let (steps, count) = (settings.steps, min(points, settings.steps))
    velocitySteps = (0..<count).map { (2 * $0 + 1) * steps / (2 * count) }
  }

  /// All that a cell of this subject depends on beside weights.
  var description: String {
    var json: JSONValue = [
      "prompt": .string(settings.prompt), "negative": .string(settings.negativePrompt),
      "size": [.integer(settings.width), .integer(settings.height)],
      "sigmas": .array(settings.sigmas.map { .double(Double($0)) }),
      "guidance": .double(settings.guidanceScale),
      "tokens": .integer(settings.maxSequenceLength), "seed": .string("\(seed)"),
      "points": .array(velocitySteps.map { .integer($0) }),
    ]
    if let guidance = settings.guidance, let members = json.members {
      json = .object(members + [.init(key: "distilled", value: .double(guidance))])
    }
    // Levels say all of a schedule.
    for (key, value) in [
      ("sampler", settings.sampler == .euler ? nil : settings.sampler.rawValue),
      ("promptWeights", settings.promptWeights == .off ? nil : settings.promptWeights.rawValue),
    ] {
      guard let value, let members = json.members else { continue }
      json = .object(members + [.init(key: key, value: .string(value))])
    }
    return json.text()
  }
}
