import Images

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
  /// The pictures of the request that are being made: one, or all if they are made together. The
  /// first where a stage is for all.
  public let images: Range<Int>
  /// Steps that have ended.
  public let step: Int
  /// Steps in all.
  public let stepCount: Int
  /// The noise level that has been reached.
  public let sigma: Float
  /// Seconds that the step took; 0 outside of `denoising`.
  public let seconds: Double
  /// The latents at this moment, one array `[channels, height, width]` for each of `images`; empty
  /// outside of `denoising`.
  public let latents: [[Float]]
  /// What each of `images` is going to show, if the request asks for previews and this step is one
  /// of them; else empty.
  public let previews: [RGBImage]
}

/// A denoising step that has ended, and latents that may be changed before the next one begins.
public struct GenerationStep: Sendable {
  /// The pictures of the request that are being made.
  public let images: Range<Int>
  /// Steps that have ended.
  public let step: Int
  /// Steps in all.
  public let stepCount: Int
  /// The noise level that has been reached.
  public let sigma: Float
  /// One array `[channels, height, width]` for each of `images`. Changed values are taken over if
  /// they are as many.
  public var latents: [[Float]]
  /// Whether to end the generation with `GenerationError.cancelled`.
  public var isCancelled = false
}

/// Where the time and memory of a generation went.
public struct GenerationStatistics: Sendable, Equatable {
  /// Seconds for the picture to start from.
  public var encoderSeconds = 0.0
  /// Seconds for the prompts.
  public var textEncoderSeconds = 0.0
  /// Seconds for the time-dependent weights.
  public var scheduleSeconds = 0.0
  /// Seconds of each step, of one picture after another unless they are made together.
  public var stepSeconds: [Double] = []
  /// Seconds for turning latents into pixels.
  public var decoderSeconds = 0.0
  /// Seconds from the request to the pictures.
  public var totalSeconds = 0.0
  /// Most memory that the process ever had resident, mapped files included.
  public var peakResidentBytes = 0

  /// Nothing yet.
  public init() {}
}

/// A finished picture of a request.
public struct GeneratedImage: Sendable {
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
  /// Time and memory of the request so far.
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
