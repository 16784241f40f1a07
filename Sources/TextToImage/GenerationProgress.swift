import Images

/// A picture of a run.
public struct PictureIndex: Sendable, Hashable {
  /// The number of its request in the run, from 0.
  public let request: Int
  /// Its number in the request, from 0.
  public let image: Int

  /// Names a picture.
  public init(request: Int, image: Int) {
    self.request = request
    self.image = image
  }
}

/// How far a generation has come.
public struct GenerationProgress: Sendable {
  /// The part of the work.
  public enum Stage: String, Sendable {
    /// The picture to start from is turned into latents.
    case encodingPicture = "encoding picture"
    /// The prompt goes through the text encoder.
    case encodingText = "encoding text"
    /// The time-dependent weights are evaluated for the whole schedule.
    case preparingSchedule = "preparing schedule"
    /// A denoising step has ended.
    case denoising
    /// Latents are turned into pixels.
    case decoding
  }

  /// The stage that has begun or, for `denoising`, the step that has ended.
  public let stage: Stage
  /// The pictures that the stage is for: one, or those that are made together, or all whose prompts
  /// are encoded.
  public let pictures: [PictureIndex]
  /// Steps that have ended.
  public let step: Int
  /// Steps in all.
  public let stepCount: Int
  /// The noise level that has been reached.
  public let sigma: Float
  /// Seconds that the step took; 0 outside of `denoising`.
  public let seconds: Double
  /// The latents at this moment: `[channels, height, width]` for each of `pictures`; empty outside
  /// of `denoising`.
  public let latents: [[Float]]
  /// What each of `pictures` is going to show, if the request asks for previews and this step is
  /// one of them; else empty.
  public let previews: [RGBImage]
}

/// A denoising step that has ended, and latents that may be changed before the next one begins.
public struct GenerationStep: Sendable {
  /// The pictures that are being made.
  public let pictures: [PictureIndex]
  /// Steps that have ended.
  public let step: Int
  /// Steps in all.
  public let stepCount: Int
  /// The noise level that has been reached.
  public let sigma: Float
  /// One array `[channels, height, width]` for each of `pictures`. Changed values are taken over if
  /// they are as many.
  public var latents: [[Float]]
  /// What the sampler keeps of earlier steps, for each picture.
  let histories: [[[Float]]]
  /// How often noise was drawn, for each picture.
  let noiseCounts: [Int]
  /// Whether to end the generation with `GenerationError.cancelled`.
  public var isCancelled = false

  /// What is needed to go on from here, for each picture that has not become undefined.
  public var unfinished: [PictureIndex: UnfinishedPicture] {
    var unfinished: [PictureIndex: UnfinishedPicture] = [:]
    for (index, picture) in pictures.enumerated()
    where ([latents[index]] + histories[index]).allSatisfy({ $0.allSatisfy(\.isFinite) }) {
      unfinished[picture] = UnfinishedPicture(
        step: step, latents: latents[index], history: histories[index],
        noiseCount: noiseCounts[index])
    }
    return unfinished
  }
}

/// Where the time and memory of a generation went.
public struct GenerationStatistics: Sendable, Equatable {
  /// Seconds for the picture to start from.
  public var encoderSeconds = 0.0
  /// Seconds for the prompts.
  public var textEncoderSeconds = 0.0
  /// Seconds for the time-dependent weights.
  public var scheduleSeconds = 0.0
  /// Seconds of each step, of one picture or group of pictures after another.
  public var stepSeconds: [Double] = []
  /// Seconds for turning latents into pixels.
  public var decoderSeconds = 0.0
  /// Seconds from the first request to the pictures.
  public var totalSeconds = 0.0
  /// Most memory that the process ever had resident, mapped files included.
  public var peakResidentBytes = 0

  /// Nothing yet.
  public init() {}
}

/// A finished picture of a request.
public struct GeneratedImage: Sendable {
  /// The number of its request in the run, from 0.
  public let request: Int
  /// Its number in the request, from 0.
  public let index: Int
  /// The picture.
  public let image: RGBImage
  /// Its final latents `[channels, height / f, width / f]`, row-major.
  public let latents: [Float]
  /// What was really done; `settings.seeds[index]` is the picture's seed.
  public let settings: GenerationSettings
  /// Tokens of prompt and negative prompt that were cut off.
  public let droppedTokens: DroppedTokens
  /// Time and memory of the run so far.
  public let statistics: GenerationStatistics
}

/// The pictures of a request.
public struct GenerationResult: Sendable {
  /// One picture for each seed.
  public let images: [RGBImage]
  /// The final latents `[images, channels, height / f, width / f]`, row-major.
  public let latents: [Float]
  /// The shape of `latents`.
  public let latentShape: [Int]
  /// What was really done.
  public let settings: GenerationSettings
  /// Tokens of prompt and negative prompt that were cut off.
  public let droppedTokens: DroppedTokens
  /// Time and memory.
  public let statistics: GenerationStatistics

  /// - Parameters:
  ///   - made: the pictures of one request, in order; at least one.
  ///   - statistics: of the whole run.
  ///   - shape: of the latents of all pictures of the request.
  init(_ made: [GeneratedImage], _ statistics: GenerationStatistics, latentShape shape: [Int]) {
    images = made.map(\.image)
    latents = made.flatMap(\.latents)
    latentShape = [made.count] + shape.dropFirst()
    settings = made[0].settings
    droppedTokens = made[0].droppedTokens
    self.statistics = statistics
  }
}

/// Tokens that were cut off, because a text encoder does not read that many.
public struct DroppedTokens: Sendable, Equatable {
  /// Those of one text.
  public struct Counts: Sendable, Equatable {
    /// Tokens beyond `GenerationSettings.maxSequenceLength`.
    public let sequence: Int
    /// Tokens beyond what the encoder of the whole prompt's vector reads: CLIP's 77. 0 in
    /// families that have none.
    public let pooled: Int

    static let none = Counts(sequence: 0, pooled: 0)
  }

  /// Of the prompt.
  public let prompt: Counts
  /// Of the negative prompt; none if it took no part.
  public let negativePrompt: Counts
}
