import Compute
import Diffusion
import Images

/// A picture that requests of a run start from, in their size. It is made when it is needed: a run
/// may have many.
struct RunStart: Sendable, Equatable {
  let picture: StartPicture
  let width: Int
  let height: Int

  private var prepared: PreparedStart { PreparedStart(picture, width: width, height: height) }

  /// What the encoder takes.
  var planes: [Float] { prepared.planes }

  /// For each latent of one channel whether it is repainted; nil if all are.
  func latentMask(upscaling: Int) -> [Bool]? {
    picture.mask == nil ? nil : prepared.latentMask(upscaling: upscaling)
  }

  /// The result with the picture's own pixels where nothing is repainted, if that is wanted.
  func composited(_ result: RGBImage) -> RGBImage {
    picture.keepsUnmasked ? prepared.composited(result) : result
  }
}

/// One of the requests of a run.
struct RunRequest<Model: DiffusionModel>: Sendable {
  /// Its number in the run.
  let index: Int
  let prepared: PreparedRequest<Model>
  /// Which of its pictures are made, by number.
  let images: [Int]
  /// What its pictures start from where it is no picture.
  let latents: InitialLatents
  /// The number of the picture to start from among those of the run; nil where there is none.
  let start: Int?
  /// Pictures to go on with, by number.
  let unfinished: [Int: UnfinishedPicture]

  var settings: GenerationSettings { prepared.settings }

  /// The same with some of its pictures.
  private func keeping(_ images: [Int]) -> RunRequest {
    RunRequest(
      index: index, prepared: prepared, images: images, latents: latents, start: start,
      unfinished: unfinished)
  }

  /// What pictures must have in common to go through the steps together.
  struct Kind: Hashable {
    fileprivate let size: LatentSize
    fileprivate let sigmas: [Float]
    fileprivate let times: [Float]
    fileprivate let sampler: SamplerName
    fileprivate let guidance: Guidance
    fileprivate let distilledGuidance: Float?
    fileprivate let previews: PreviewChoice?
    fileprivate let startsFromPicture: Bool
    fileprivate let readsTexts: Bool
    fileprivate let firstStep: Int
  }

  /// The step of a picture that comes next.
  func nextStep(of image: Int) -> Int { unfinished[image]?.step ?? 0 }

  /// Whether any of its pictures has steps left.
  var hasSteps: Bool { images.contains { nextStep(of: $0) < settings.steps } }

  /// The pictures by the step that comes next, each part with its kind.
  var parts: [(kind: Kind, request: RunRequest)] {
    let steps = Dictionary(grouping: images, by: nextStep)
    // What is nearest to its end comes first.
    return steps.sorted { $0.key > $1.key }.map { step, images in
      let kind = Kind(
        size: prepared.size, sigmas: settings.sigmas, times: prepared.times,
        sampler: settings.sampler, guidance: prepared.guidance,
        distilledGuidance: prepared.distilledGuidance, previews: settings.previews,
        startsFromPicture: prepared.startsFromPicture, readsTexts: !prepared.textStages.isEmpty,
        firstStep: step)
      return (kind, keeping(images))
    }
  }
}

/// Requests whose pictures agree in all that decides about a step: as many at once as memory holds,
/// they go through the steps together.
struct RunBatch<Model: DiffusionModel>: Sendable {
  /// One picture.
  struct Lane: Sendable {
    let request: RunRequest<Model>
    /// Its number in the request.
    let image: Int

    var place: PictureIndex { PictureIndex(request: request.index, image: image) }
    var seed: UInt64 { request.settings.seeds[image] }
    var unfinished: UnfinishedPicture? { request.unfinished[image] }
    /// Whether steps are left.
    var hasSteps: Bool { request.nextStep(of: image) < request.settings.steps }
    /// The prompts of its branches, the unconditional one first.
    var prompts: [PreparedPrompt<Model>] { request.prepared.prompts }
  }

  let requests: [RunRequest<Model>]
  let plan: MemoryPlan

  /// One whose settings stand for all that they have in common.
  var first: RunRequest<Model> { requests[0] }

  /// The pictures that go through the steps together, one group after another.
  var groups: [[Lane]] {
    let lanes = requests.flatMap { request in
      request.images.map { Lane(request: request, image: $0) }
    }
    return stride(from: 0, to: lanes.count, by: plan.picturesAtOnce).map {
      Array(lanes[$0..<min(lanes.count, $0 + plan.picturesAtOnce)])
    }
  }
}

/// The part of a run whose prompts are held at once.
struct RunChunk<Model: DiffusionModel>: Sendable {
  let batches: [RunBatch<Model>]
  /// All prompts, each once: those of an element go through the text encoders together.
  let passes: [[PreparedPrompt<Model>]]

  /// Whether weights of earlier stages stay resident.
  var keepsEverything: Bool { batches.allSatisfy(\.plan.keepsEverything) }
}

/// What prompts became, until the last picture that needs it is made.
struct EncodedPrompts<Model: DiffusionModel> {
  private var conditionings: [PromptIdentity: Model.Text.Conditioning] = [:]
  private var uses: [PromptIdentity: Int] = [:]

  /// Nothing is encoded yet.
  init(for chunk: RunChunk<Model>) {
    for lane in chunk.batches.flatMap({ $0.groups.flatMap { $0 } }) {
      for prompt in lane.prompts { uses[prompt.key, default: 0] += 1 }
    }
  }

  subscript(key: PromptIdentity) -> Model.Text.Conditioning? {
    get { conditionings[key] }
    set { conditionings[key] = newValue }
  }

  /// Forgets what no later picture needs.
  mutating func release(_ group: [RunBatch<Model>.Lane]) {
    for key in group.flatMap({ $0.prompts.map(\.key) }) {
      let left = (uses[key] ?? 1) - 1
      uses[key] = left
      if left == 0 { conditionings[key] = nil }
    }
  }
}
