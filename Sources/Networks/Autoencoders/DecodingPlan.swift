import Compute
import Diffusion

/// How an `AutoencoderDecoder` decodes latents of one size: what is stored, what is computed again
/// so that it need not be stored, and in bands of how many rows.
///
/// Every stage (the blocks of a level, attention, the output) is planned by itself, for the peak of
/// the whole is the largest of theirs. Of all ways that stay within the bound each level takes the
/// one with the least work. What a way holds is found by running its stages on a `RehearsalDevice`.
struct DecodingPlan {
  /// How the blocks of one size are computed.
  struct Level {
    /// Rows of a band.
    let bandRows: Int
    /// Whether the enlarged map that enters the level is stored; otherwise its rows are computed
    /// from the smaller map whenever the first block reads them.
    let storesInput: Bool
    /// For each block whether the map between its convolutions is stored; otherwise the first
    /// convolution is computed twice.
    let storesHidden: [Bool]
    /// Bytes of activations at most.
    fileprivate let peakBytes: Int
    /// Multiply-adds, weighted with what small bands cost.
    fileprivate let cost: Double
  }

  /// From the latent side to the picture. The first one has the blocks of the middle too.
  let levels: [Level]

  /// Plans a decoding.
  ///
  /// - Parameters:
  ///   - decoder: what decodes.
  ///   - size: of the latents.
  ///   - bytes: to stay within; nil for no bound. A bound that cannot be kept gives the plan with
  ///     the smallest peak.
  ///   - device: where it will run.
  /// - Throws: `ComputeError` if the sizes are beyond all memory.
  init(
    _ decoder: AutoencoderDecoder, _ size: LatentSize, within bytes: Int?,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    // The latents stay beside everything.
    let latents = decoder.latentChannels * size.height * size.width * MemoryLayout<Float>.stride
    var levels: [Level] = []
    for index in decoder.levels.indices {
      let planner = LevelPlanner(
        decoder, level: index, size, inputBandRows: levels.last?.bandRows ?? 1, on: device)
      levels.append(try planner.plan(bound: bytes.map { max(0, $0 - latents) }))
    }
    self.levels = levels
  }
}

/// Plans the blocks of one size.
private struct LevelPlanner {
  private let decoder: AutoencoderDecoder
  private let level: Int
  private let height: Int
  private let width: Int
  /// Rows of a band of the map that enters the level.
  private let inputBandRows: Int
  private let upsample: Convolution?
  private let blocks: [AutoencoderDecoder.ResidualBlock]
  private let device: any ComputeDevice

  /// Bytes of rows that are normalized at once if memory does not matter: few enough to stay in
  /// the last-level cache, enough to be shared out between threads.
  private static let preferredBandBytes = 32 << 20

  init(
    _ decoder: AutoencoderDecoder, level: Int, _ size: LatentSize, inputBandRows: Int,
    on device: any ComputeDevice
  ) {
    self.decoder = decoder
    self.level = level
    self.inputBandRows = inputBandRows
    self.device = device
    (height, width) = (size.height << level, size.width << level)
    upsample = level > 0 ? decoder.levels[level - 1].upsample : nil
    let middle = level > 0 ? [] : [decoder.middle.first, decoder.middle.second]
    blocks = middle + decoder.levels[level].blocks
  }

  /// The cheapest way within a bound, or the smallest one if there is none.
  func plan(bound: Int?) throws(ComputeError) -> DecodingPlan.Level {
    let channels = blocks.flatMap { [$0.conv1.inputChannels, $0.conv1.outputChannels] }.max() ?? 1
    var rows = Self.preferredBandBytes / max(1, channels * width * MemoryLayout<Float>.stride)
    rows = min(height, max(8, rows))
    guard let bound else {
      return DecodingPlan.Level(
        bandRows: rows, storesInput: true, storesHidden: blocks.map { _ in true }, peakBytes: 0,
        cost: 0)
    }
    var ways: [(bandRows: Int, storesInput: Bool)] = []
    while rows >= 1 {
      ways += (upsample == nil || blocks.isEmpty ? [true] : [true, false]).map { (rows, $0) }
      rows /= 2
    }
    var (best, smallest): (DecodingPlan.Level?, DecodingPlan.Level?)
    let costs = ways.map { cost($0.bandRows, $0.storesInput, blocks.map { _ in true }) }
    // The cheapest first: few of them have to be rehearsed where memory suffices.
    for index in ways.indices.sorted(by: { (costs[$0], $0) < (costs[$1], $1) }) {
      if let best, costs[index] >= best.cost { break }
      let way = try rehearsed(ways[index].bandRows, ways[index].storesInput, bound: bound)
      if way.peakBytes <= bound, way.cost < best?.cost ?? .infinity { best = way }
      if way.peakBytes < smallest?.peakBytes ?? .max { smallest = way }
    }
    return best ?? smallest
      ?? DecodingPlan.Level(
        bandRows: 1, storesInput: true, storesHidden: blocks.map { _ in true }, peakBytes: 0,
        cost: 0)
  }

  private func cost(_ bandRows: Int, _ storesInput: Bool, _ storesHidden: [Bool]) -> Double {
    let pixels = Double(height) * Double(width)
    var work = 0.0
    if let upsample { work += (storesInput ? 1 : 3) * pixels * Double(upsample.filterBytes) }
    for (block, stores) in zip(blocks, storesHidden) {
      let first = Double(block.conv1.filterBytes) * (stores ? 1 : 2)
      work += pixels * (first + Double(block.conv2.filterBytes))
    }
    // Bands cost the end of their work, when threads wait for each other.
    return work * (1 + 0.5 / Double(bandRows))
  }

  // MARK: Rehearsals

  /// One way with the most bytes that it holds. Hidden maps are stored where the bound allows it.
  private func rehearsed(
    _ bandRows: Int, _ storesInput: Bool, bound: Int
  ) throws(ComputeError) -> DecodingPlan.Level {
    var peak = 0
    if let upsample, storesInput {
      peak = try peakBytes { stages throws(ComputeError) in
        _ = try stages.enlarge(try small(upsample, stages.device), upsample, bandRows: bandRows)
      }
    }
    var storesHidden: [Bool] = []
    for (index, block) in blocks.enumerated() {
      let source = index == 0 && !storesInput ? upsample : nil
      func bytes(storing: Bool) throws(ComputeError) -> Int {
        try peakBytes { stages throws(ComputeError) in
          let input =
            if let source {
              try small(source, stages.device)
            } else {
              try filled(
                block.conv1.inputChannels, height, width, bandRows: bandRows, stages.device)
            }
          _ = try stages.apply(
            block, to: input, upsampled: source, bandRows: bandRows, storesHidden: storing)
        }
      }
      let whole = try bytes(storing: true)
      let least = whole <= bound ? whole : try bytes(storing: false)
      storesHidden.append(whole <= max(bound, least))
      peak = max(peak, min(whole, whole <= bound ? whole : least))
    }
    peak = max(peak, try endBytes(bandRows))
    return DecodingPlan.Level(
      bandRows: bandRows, storesInput: storesInput, storesHidden: storesHidden, peakBytes: peak,
      cost: cost(bandRows, storesInput, storesHidden))
  }

  /// What the attention of the first level and the output of the last one hold.
  private func endBytes(_ bandRows: Int) throws(ComputeError) -> Int {
    var peak = 0
    if level == 0, let attention = decoder.middle.attention {
      peak = try peakBytes { stages throws(ComputeError) in
        try stages.apply(
          attention,
          to: try filled(
            decoder.middle.first.conv2.outputChannels, height, width, bandRows: bandRows,
            stages.device))
      }
    }
    if level == decoder.levels.count - 1 {
      let output = try peakBytes { stages throws(ComputeError) in
        _ = try stages.output(
          try filled(
            decoder.output.inputChannels, height, width, bandRows: bandRows, stages.device))
      }
      peak = max(peak, output)
    }
    return peak
  }

  /// The most that stages hold.
  private func peakBytes(
    _ body: (DecodingStages) throws(ComputeError) -> Void
  ) throws(ComputeError) -> Int {
    let rehearsal = RehearsalDevice(of: device)
    return try rehearsal.peakBytes { () throws(ComputeError) in
      try body(DecodingStages(decoder: decoder, device: rehearsal))
    }
  }

  /// The map before it is enlarged.
  private func small(
    _ upsample: Convolution, _ device: any ComputeDevice
  ) throws(ComputeError) -> BandedImage {
    try filled(upsample.inputChannels, height / 2, width / 2, bandRows: inputBandRows, device)
  }

  /// An image with all of its bands.
  private func filled(
    _ channels: Int, _ height: Int, _ width: Int, bandRows: Int, _ device: any ComputeDevice
  ) throws(ComputeError) -> BandedImage {
    let image = BandedImage(
      channels: channels, height: height, width: width, bandRows: bandRows, on: device)
    for band in 0..<image.bandCount { _ = try image.band(band) }
    return image
  }
}
