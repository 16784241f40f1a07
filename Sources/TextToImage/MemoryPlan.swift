/// What a generation holds in memory, stage by stage, before it begins.
public struct MemoryPlan: Sendable, Equatable {
  /// One part of the work; stages follow each other, their memory does not add up.
  public struct Stage: Sendable, Equatable {
    /// Which part, such as `text encoder`.
    public let name: String
    /// Whether it reads its weights again at each step.
    public let isRepeated: Bool
    /// Activations, and what products and attention need beside them.
    public let activationBytes: Int
    /// Weights that the stage reads.
    public let weightBytes: Int
    /// Those of them that stay resident.
    public let keptBytes: Int
    /// The largest layer that is resident only while it is used; 0 if all stay.
    public let passingBytes: Int

    /// What the stage adds to the program itself.
    public var byteCount: Int { activationBytes + keptBytes + passingBytes }
    /// Weights that are read anew at each use.
    public var streamedBytes: Int { weightBytes - keptBytes }
  }

  /// The limit; nil for none.
  public let budget: Int?
  /// The program with tokenizer, tables and small vectors.
  public let baseBytes: Int
  /// In the order of the work.
  public let stages: [Stage]
  /// Pictures that go through the steps together: one, or up to eight if weights are read again at
  /// each step.
  public let picturesAtOnce: Int
  /// Whether weights of earlier stages stay resident.
  public let keepsEverything: Bool
  /// What the image decoder's activations may take; nil for as much as they like.
  let decoderBytes: Int?
  /// The same of the encoder, where a picture is encoded first.
  var encoderBytes: Int?

  /// Expected peak of resident memory.
  public var peakBytes: Int {
    let parts = stages.map(\.byteCount)
    guard keepsEverything else { return baseBytes + (parts.max() ?? 0) }
    return baseBytes + Self.resident(stages) + (stages.map(\.activationBytes).max() ?? 0)
  }

  /// Whether the budget holds.
  public var fits: Bool { budget.map { peakBytes <= $0 } ?? true }

  /// The stage that reads its weights again at each step.
  public var repeatedStage: Stage? { stages.first(where: \.isRepeated) }

  /// Expected resident memory during a stage.
  public func peakBytes(of stage: Stage) -> Int {
    guard keepsEverything else { return baseBytes + stage.byteCount }
    // What earlier stages kept is still resident.
    let earlier = Array(stages.prefix { $0 != stage })
    return baseBytes + Self.resident(earlier) + Self.resident([stage]) + stage.activationBytes
  }

  /// The pages of what is kept, with those around: the kernel maps pages in sixteens, so that the
  /// vectors between a file's matrices are resident too (0.13 % of the largest model's weights).
  /// Where there is a limit, `StageDemands.plan` leaves a fiftieth of it for them.
  private static func resident(_ stages: [Stage]) -> Int {
    let kept = stages.reduce(0) { $0 + $1.keptBytes }
    return kept + kept / 512
  }
}
