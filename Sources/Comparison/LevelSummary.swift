import StrictJSON

/// A measure over all cells of a level.
package struct Spread: Sendable, Equatable {
  package let median: Double
  package let worst: Double

  /// - Parameters:
  ///   - values: one for each cell that has the measure; at least one.
  ///   - isBetterHigh: whether higher values are better.
  package init?(_ values: [Double], isBetterHigh: Bool) {
    let sorted = values.sorted()
    guard let least = sorted.first, let most = sorted.last else { return nil }
    median = Self.median(sorted)
    worst = isBetterHigh ? least : most
  }

  /// The middle of sorted values; the mean of both middle ones where their number is even.
  static func median(_ sorted: [Double]) -> Double {
    guard !sorted.isEmpty else { return .nan }
    let (low, high) = (sorted[(sorted.count - 1) / 2], sorted[sorted.count / 2])
    return low == high ? low : (low + high) / 2
  }

  var json: JSONValue { ["median": .finite(median), "worst": .finite(worst)] }
}

/// What is told of one level.
package struct LevelSummary: Sendable {
  package let level: ComparisonLevel
  package let facts: LevelFacts
  /// Nil for the reference, and where no picture has the measure.
  package let psnr, ssim, multiScaleSSIM, flip, latentError, velocityError: Spread?
  /// Medians of the latents' distance after each step, as far as all schedules go.
  package let latentErrorPerStep: [Double]
  /// Medians of the velocities' distance at each point.
  package let velocityErrorPerPoint: [Double]
  /// Median over cells.
  package let secondsPerStep: Double
  /// Peak memory of any cell; nil where the system does not tell.
  package let peakBytes: Int?
  /// Cells for which there is no picture.
  package let failureCount: Int
  /// What pictures show, from `scores.csv`; nil without it.
  package let scores: LevelScores?

  /// Sums up the cells of a level.
  package init(
    _ level: ComparisonLevel, _ facts: LevelFacts, _ records: [CellRecord], _ scores: LevelScores?
  ) {
    self.level = level
    self.facts = facts
    self.scores = scores
    let measures = records.compactMap(\.measures)
    psnr = Spread(measures.map(\.psnr), isBetterHigh: true)
    ssim = Spread(measures.compactMap(\.ssim), isBetterHigh: true)
    multiScaleSSIM = Spread(measures.compactMap(\.multiScaleSSIM), isBetterHigh: true)
    flip = Spread(measures.map(\.flip), isBetterHigh: false)
    latentError = Spread(measures.compactMap(\.latentErrors.last), isBetterHigh: false)
    velocityError = Spread(measures.map(\.velocityError), isBetterHigh: false)
    latentErrorPerStep = Self.medians(measures.map(\.latentErrors))
    velocityErrorPerPoint = Self.medians(measures.map(\.velocityErrors))
    let made = records.filter { $0.failure == nil }
    secondsPerStep = Spread.median(made.map(\.secondsPerStep).sorted())
    peakBytes = made.compactMap(\.peakBytes).max()
    failureCount = records.count - made.count
  }

  private static func medians(_ rows: [[Double]]) -> [Double] {
    let count = rows.map(\.count).min() ?? 0
    return (0..<count).map { index in Spread.median(rows.map { $0[index] }.sorted()) }
  }

  /// The level in `results.json`.
  package var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init(key: "name", value: .string(level.name)),
      .init(key: "kind", value: .string("\(level.kind)")),
      .init(key: "bytes", value: .integer(facts.bytes)),
      .init(key: "bitsPerWeight", value: .double(facts.bitsPerWeight)),
      .init(key: "psnr", value: psnr?.json ?? .null),
      .init(key: "ssim", value: ssim?.json ?? .null),
      .init(key: "msSSIM", value: multiScaleSSIM?.json ?? .null),
      .init(key: "flip", value: flip?.json ?? .null),
      .init(key: "latentError", value: latentError?.json ?? .null),
      .init(key: "latentErrorPerStep", value: .numbers(latentErrorPerStep)),
      .init(key: "velocityError", value: .finite(velocityError?.median)),
      .init(key: "velocityErrorWorst", value: .finite(velocityError?.worst)),
      .init(key: "velocityErrorPerPoint", value: .numbers(velocityErrorPerPoint)),
      .init(key: "secondsPerStep", value: .finite(secondsPerStep)),
      .init(key: "peakBytes", value: peakBytes.map { .integer($0) } ?? .null),
      .init(key: "failures", value: .integer(failureCount)),
      .init(key: "weightError", value: .finite(facts.relativeError)),
      .init(key: "worstTensors", value: .array(facts.worst(5).map(\.json))),
      .init(key: "tensors", value: .array(facts.differences.map(\.json))),
    ]
    if let scores { members.append(.init(key: "scores", value: scores.json)) }
    return .object(members)
  }
}
