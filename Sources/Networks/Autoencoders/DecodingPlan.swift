import Tensors

/// How an `AutoencoderDecoder` decodes latents of one size: what is stored, what is computed again
/// so that it need not be stored, and in bands of how many rows.
///
/// Every stage (the blocks of a level, attention, the output) is planned by itself, for the peak of
/// the whole is the largest of theirs. Of all ways that stay within the bound each level takes the
/// one with the least work.
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
    let peakBytes: Int
    /// Multiply-adds, weighted with what small bands cost.
    fileprivate let cost: Double
  }

  /// From the latent side to the picture. The first one has the blocks of the middle too.
  let levels: [Level]
  /// Bytes of activations at most.
  let peakBytes: Int

  /// Bytes of rows that are normalized at once if memory does not matter: few enough to stay in
  /// the last-level cache, enough to be shared out between threads.
  private static let preferredBandBytes = 32 << 20
  /// Scratch memory of a few threads.
  private static let scratchBytes = 1 << 20

  /// Plans a decoding.
  ///
  /// - Parameters:
  ///   - decoder: what decodes.
  ///   - height: rows of the latents.
  ///   - width: pixels of their rows.
  ///   - memory: bytes to stay within; nil for no bound. A bound that cannot be kept gives the plan
  ///     with the smallest peak.
  init(_ decoder: AutoencoderDecoder, height: Int, width: Int, memory: Int?) {
    let latents = 2 * decoder.latentChannels * height * width * MemoryLayout<Float>.stride
    let fixed = Self.scratchBytes + latents
    var levels: [Level] = []
    var peak = 0
    for index in decoder.levels.indices {
      let shape = LevelShape(decoder, level: index, height: height << index, width: width << index)
      let level = shape.plan(
        bound: memory.map { max(0, $0 - fixed) }, preferredBandBytes: Self.preferredBandBytes)
      levels.append(level)
      peak = max(peak, level.peakBytes)
    }
    self.levels = levels
    peakBytes = peak + fixed
  }
}

/// What there is to compute at one size.
private struct LevelShape {
  private let stage: DecodingStage
  private let groups: Int
  private let upsample: Convolution?
  private let blocks: [AutoencoderDecoder.ResidualBlock]
  private let attentionChannels: Int?
  /// Makes the picture of the last level's result.
  private let output: Convolution?

  init(_ decoder: AutoencoderDecoder, level: Int, height: Int, width: Int) {
    stage = DecodingStage(height: height, width: width)
    groups = decoder.groups
    upsample = level > 0 ? decoder.levels[level - 1].upsample : nil
    let middle = level > 0 ? [] : [decoder.middle.first, decoder.middle.second]
    blocks = middle + decoder.levels[level].blocks
    attentionChannels =
      level == 0 && decoder.middle.attention != nil
      ? decoder.middle.first.conv2.outputChannels : nil
    output = level == decoder.levels.count - 1 ? decoder.output : nil
  }

  /// The cheapest way within a bound, or the smallest one if there is none.
  func plan(bound: Int?, preferredBandBytes: Int) -> DecodingPlan.Level {
    let channels = blocks.flatMap { [$0.conv1.inputChannels, $0.conv1.outputChannels] }.max() ?? 1
    var rows = preferredBandBytes / max(1, stage.rowBytes(channels))
    rows = min(stage.height, max(8, rows))
    var candidates: [DecodingPlan.Level] = []
    while rows >= 1 {
      let choices = upsample == nil || blocks.isEmpty ? [true] : [true, false]
      candidates += choices.map { level(bandRows: rows, storesInput: $0, bound: bound) }
      if bound == nil { break }
      rows /= 2
    }
    let fitting = candidates.filter { $0.peakBytes <= bound ?? .max }
    return fitting.min { $0.cost < $1.cost }
      ?? candidates.min { $0.peakBytes < $1.peakBytes }
      ?? level(bandRows: 1, storesInput: true, bound: bound)
  }

  private func level(bandRows: Int, storesInput: Bool, bound: Int?) -> DecodingPlan.Level {
    var peak = 0
    var work = 0.0
    let pixels = Double(stage.height) * Double(stage.width)
    if let upsample {
      let readings = storesInput ? 1.0 : 3.0
      work += readings * pixels * Double(upsample.filterBytes)
      if storesInput { peak = stage.upsamplingBytes(upsample, bandRows: bandRows) }
    }
    var storesHidden: [Bool] = []
    for (index, block) in blocks.enumerated() {
      let source = index == 0 && !storesInput ? upsample : nil
      let bytes = [true, false].map {
        stage.blockBytes(
          block, groups: groups, upsampled: source, storesHidden: $0, bandRows: bandRows)
      }
      let stores = bytes[0] <= max(bound ?? .max, bytes[1])
      storesHidden.append(stores)
      peak = max(peak, stores ? bytes[0] : bytes[1])
      let first = Double(block.conv1.filterBytes) * (stores ? 1 : 2)
      work += pixels * (first + Double(block.conv2.filterBytes))
    }
    if let attentionChannels {
      peak = max(peak, stage.attentionBytes(channels: attentionChannels))
    }
    if let output { peak = max(peak, stage.outputBytes(output, bandRows: bandRows)) }
    // Bands cost the end of their work, when threads wait for each other.
    return DecodingPlan.Level(
      bandRows: bandRows, storesInput: storesInput, storesHidden: storesHidden, peakBytes: peak,
      cost: work * (1 + 0.5 / Double(bandRows)))
  }
}

/// Bytes that the stages of `BandedDecoding` hold at most, for images of one size.
private struct DecodingStage {
  let height: Int
  let width: Int

  func rowBytes(_ channels: Int) -> Int { channels * width * MemoryLayout<Float>.stride }
  private func imageBytes(_ channels: Int) -> Int { height * rowBytes(channels) }

  /// A map at the start of a stage turning band by band into another at its end.
  private func turning(_ from: Int, into to: Int, band: Int) -> Int {
    max(from + min(to, band), to + min(from, band))
  }

  /// Making and storing the enlarged map.
  func upsamplingBytes(_ convolution: Convolution, bandRows: Int) -> Int {
    let small = imageBytes(convolution.inputChannels) / 4
    let band = rowBytes(convolution.outputChannels) * min(height, bandRows)
    return convolution.filterBytes
      + max(
        small + convolution.filterBytes,
        turning(small, into: imageBytes(convolution.outputChannels), band: band))
  }

  /// One block. Filters in float32 lie beside the packed ones while they are packed, before there
  /// are windows.
  func blockBytes(
    _ block: AutoencoderDecoder.ResidualBlock, groups: Int, upsampled: Convolution?,
    storesHidden: Bool, bandRows: Int
  ) -> Int {
    let input = rowBytes(block.conv1.inputChannels)
    let output = rowBytes(block.conv1.outputChannels)
    let band = min(height, bandRows)
    let window = min(height, bandRows + 2)
    let held = upsampled.map { imageBytes($0.inputChannels) / 4 } ?? height * input
    let hidden = storesHidden ? height * output : 0
    let upsampling = upsampled?.filterBytes ?? 0
    let first =
      held + upsampling
      + max(
        upsampled == nil ? 0 : max(upsampling, band * input),
        block.conv1.filterBytes
          + max(
            block.conv1.filterBytes,
            window * input + (storesHidden ? hidden : band * output)))

    let convolutions = [block.conv2, block.shortcut, storesHidden ? nil : block.conv1]
      .compactMap { $0?.filterBytes }
    let isSeparate = upsampled != nil || block.shortcut != nil
    let images =
      isSeparate
      ? turning(held + hidden, into: height * output, band: band * output) : held + hidden
    var windows = storesHidden ? 0 : window * (input + output)
    if upsampled == nil {
      windows += band * output
    } else {
      windows += storesHidden ? band * (input + output) : window * output
    }
    let second =
      upsampling + convolutions.reduce(0, +)
      + max(held + hidden + (convolutions.max() ?? 0), images + windows)
    return max(first, second) + 2 * GroupStatistics.byteCount(groups: groups, height: height)
  }

  /// The map, queries, keys, values and the result, and keys and values again, packed.
  func attentionBytes(channels: Int) -> Int { 7 * imageBytes(channels) }

  /// The picture, the last map and what the output convolution reads.
  func outputBytes(_ convolution: Convolution, bandRows: Int) -> Int {
    imageBytes(convolution.outputChannels) + imageBytes(convolution.inputChannels)
      + convolution.filterBytes
      + max(
        convolution.filterBytes, min(height, bandRows + 2) * rowBytes(convolution.inputChannels))
  }
}
