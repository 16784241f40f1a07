import Compute
import Diffusion

/// What an autoencoder computes at one size of its maps.
struct LevelWork {
  /// Size of the maps.
  let height, width: Int
  /// What makes the map that enters from one of half or twice the size; nil at the first size.
  var entry: Convolution?
  /// The blocks in order.
  let blocks: [AutoencoderDecoder.ResidualBlock]
  /// Attention between two of them, over some channels.
  var attention: (attention: AutoencoderDecoder.Attention, channels: Int)?
  /// The last normalization and convolution, if they come here.
  var output: (norm: AutoencoderDecoder.Norm, convolution: Convolution)?

  /// Whether the map that enters is enlarged, so that its rows can be made when they are read.
  var isEnlarged: Bool { entry.map { $0.stride == 1 } ?? false }
}

/// How an autoencoder's half works on maps of one size: what is stored, what is computed again so
/// that it need not be stored, and in bands of how many rows.
///
/// Every stage (the blocks of a level, attention, the output) is planned by itself, for the peak of
/// the whole is the largest of theirs. Of all ways that stay within the bound each level takes the
/// one with the least work. What a way holds is found by running its stages on a `RehearsalDevice`.
struct BandPlan {
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

  /// In the order of the work.
  let levels: [Level]

  /// Plans a run.
  ///
  /// - Parameters:
  ///   - works: what is computed at each size, in order.
  ///   - groups: of the normalizations.
  ///   - bytes: to stay within; nil for no bound. A bound that cannot be kept gives the plan with
  ///     the smallest peak.
  ///   - device: where it will run.
  /// - Throws: `ComputeError` if the sizes are beyond all memory.
  init(
    _ works: [LevelWork], groups: Int, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) {
    var levels: [Level] = []
    for work in works {
      let planner = LevelPlanner(
        work: work, groups: groups, inputBandRows: levels.last?.bandRows ?? 1, device: device)
      levels.append(try planner.plan(bound: bytes))
    }
    self.levels = levels
  }
}

/// Plans the blocks of one size.
private struct LevelPlanner {
  let work: LevelWork
  let groups: Int
  /// Rows of a band of the map that enters the level.
  let inputBandRows: Int
  let device: any ComputeDevice

  private var height: Int { work.height }
  private var width: Int { work.width }
  private var blocks: [AutoencoderDecoder.ResidualBlock] { work.blocks }
  /// What enlarges the map that enters.
  private var upsample: Convolution? { work.isEnlarged ? work.entry : nil }

  /// Bytes of rows that are normalized at once if memory does not matter: few enough to stay in
  /// the last-level cache, enough to be shared out between threads.
  private static let preferredBandBytes = 32 << 20

  /// The cheapest way within a bound, or the smallest one if there is none.
  func plan(bound: Int?) throws(ComputeError) -> BandPlan.Level {
    let channels = blocks.flatMap { [$0.conv1.inputChannels, $0.conv1.outputChannels] }.max() ?? 1
    var rows = Self.preferredBandBytes / max(1, channels * width * MemoryLayout<Float>.stride)
    rows = min(height, max(8, rows))
    guard let bound else {
      return BandPlan.Level(
        bandRows: rows, storesInput: true, storesHidden: blocks.map { _ in true }, peakBytes: 0,
        cost: 0)
    }
    var ways: [(bandRows: Int, storesInput: Bool)] = []
    while rows >= 1 {
      ways += (upsample == nil || blocks.isEmpty ? [true] : [true, false]).map { (rows, $0) }
      rows /= 2
    }
    var (best, smallest): (BandPlan.Level?, BandPlan.Level?)
    let costs = ways.map { cost($0.bandRows, $0.storesInput, blocks.map { _ in true }) }
    // The cheapest first: few of them have to be rehearsed where memory suffices.
    for index in ways.indices.sorted(by: { (costs[$0], $0) < (costs[$1], $1) }) {
      if let best, costs[index] >= best.cost { break }
      let way = try rehearsed(ways[index].bandRows, ways[index].storesInput, bound: bound)
      if way.peakBytes <= bound, way.cost < best?.cost ?? .infinity { best = way }
      if way.peakBytes < smallest?.peakBytes ?? .max { smallest = way }
    }
    return best ?? smallest
      ?? BandPlan.Level(
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
  ) throws(ComputeError) -> BandPlan.Level {
    var peak = 0
    if let entry = work.entry, storesInput {
      peak = try peakBytes { stages throws(ComputeError) in
        _ = try stages.enter(try before(entry, stages.device), entry, bandRows: bandRows)
      }
    }
    var storesHidden: [Bool] = []
    for (index, block) in blocks.enumerated() {
      let source = index == 0 && !storesInput ? upsample : nil
      func bytes(storing: Bool) throws(ComputeError) -> Int {
        try peakBytes { stages throws(ComputeError) in
          let input =
            if let source {
              try before(source, stages.device)
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
    return BandPlan.Level(
      bandRows: bandRows, storesInput: storesInput, storesHidden: storesHidden, peakBytes: peak,
      cost: cost(bandRows, storesInput, storesHidden))
  }

  /// What attention and the output hold.
  private func endBytes(_ bandRows: Int) throws(ComputeError) -> Int {
    var peak = 0
    if let (attention, channels) = work.attention {
      peak = try peakBytes { stages throws(ComputeError) in
        try stages.apply(
          attention, to: try filled(channels, height, width, bandRows: bandRows, stages.device))
      }
    }
    if let (norm, convolution) = work.output {
      let output = try peakBytes { stages throws(ComputeError) in
        let input = try filled(
          convolution.inputChannels, height, width, bandRows: bandRows, stages.device)
        _ = try stages.output(input, norm, convolution)
      }
      peak = max(peak, output)
    }
    return peak
  }

  /// The most that stages hold.
  private func peakBytes(
    _ body: (AutoencoderStages) throws(ComputeError) -> Void
  ) throws(ComputeError) -> Int {
    let rehearsal = RehearsalDevice(of: device)
    return try rehearsal.peakBytes { () throws(ComputeError) in
      try body(AutoencoderStages(groups: groups, device: rehearsal))
    }
  }

  /// The map before it is enlarged or made smaller.
  private func before(
    _ entry: Convolution, _ device: any ComputeDevice
  ) throws(ComputeError) -> BandedImage {
    let (height, width) =
      work.isEnlarged ? (height / 2, width / 2) : (2 * height, 2 * width)
    return try filled(entry.inputChannels, height, width, bandRows: inputBandRows, device)
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
