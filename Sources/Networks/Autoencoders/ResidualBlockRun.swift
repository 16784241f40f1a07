import Tensors

/// One run of a residual block, `x' + conv2(SiLU(norm2(conv1(SiLU(norm1(x))))))`, where x' has gone
/// through the shortcut.
///
/// x is stored, or made row by row from a stored map of half its size. The map between the
/// convolutions (hidden) is stored, or computed twice: for its statistics and for its use.
struct ResidualBlockRun {
  let block: AutoencoderDecoder.ResidualBlock
  private let groups: Int
  /// Where x is stored, or the small map that it is made from.
  let source: BandedImage
  let upsample: PackedConvolution?
  let height: Int
  let width: Int
  let bandRows: Int
  let pool: ThreadPool
  private let norm1: GroupNormalization

  var inputChannels: Int { block.conv1.inputChannels }
  var outputChannels: Int { block.conv1.outputChannels }

  /// Gathers the statistics of x.
  ///
  /// - Parameters:
  ///   - block: its weights.
  ///   - groups: of the normalizations.
  ///   - input: x, or the map to make it from; changed and freed while the block runs.
  ///   - upsampled: makes x from `input`; nil if it is x.
  ///   - bandRows: rows that are computed at once; those of x's bands if it is stored.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  init(
    _ block: AutoencoderDecoder.ResidualBlock, groups: Int, input: BandedImage,
    upsampled: Convolution?, bandRows: Int, on pool: ThreadPool
  ) throws(ComputeError) {
    self.block = block
    self.groups = groups
    self.pool = pool
    self.bandRows = bandRows
    source = input
    let factor = upsampled == nil ? 1 : 2
    height = input.height * factor
    width = input.width * factor
    let statistics = try GroupStatistics(
      groups: groups, channels: block.conv1.inputChannels, height: height, width: width)
    if let upsampled {
      let packed = try PackedConvolution(upsampled, on: pool)
      upsample = packed
      var window = try RowWindow(
        channels: block.conv1.inputChannels, height: height, width: width, capacity: bandRows)
      for first in stride(from: 0, to: height, by: bandRows) {
        let new = window.advance(keeping: first, to: min(height, first + bandRows))
        try packed(
          input.view(halved(new.rows, height: input.height)), doubled: true, rows: new.rows,
          into: new.target, on: pool)
        try statistics.gather(window.view, rows: new.rows, on: pool)
      }
    } else {
      upsample = nil
      for band in 0..<input.bandCount {
        let rows = input.rows(ofBand: band)
        try statistics.gather(input.view(rows), rows: rows, on: pool)
      }
    }
    norm1 = block.norm1.normalization(statistics, groups: groups, activation: true)
  }

  /// Computes the block.
  ///
  /// - Parameter storesHidden: whether the map between the convolutions is stored.
  /// - Returns: the result, in x's memory if it may stay there.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func callAsFunction(storesHidden: Bool) throws(ComputeError) -> BandedImage {
    let hidden = BandedImage(
      channels: outputChannels, height: height, width: width, bandRows: bandRows)
    let norm2 = try normalizationOfHidden(storing: storesHidden ? hidden : nil)
    return storesHidden
      ? try finish(hidden, norm2) : try finishAgain(norm2)
  }

  /// Rows of x in `window`, normalized there. `raw` is called before with the rows as they were.
  private func advance(
    _ window: inout RowWindow, keeping start: Int, to end: Int,
    raw: (_ x: ImageRows, _ rows: Range<Int>) throws(ComputeError) -> Void = { _, _ in }
  ) throws(ComputeError) {
    let new = window.advance(keeping: start, to: min(height, end))
    guard !new.rows.isEmpty else { return }
    if upsample == nil {
      return try norm1(source.view(new.rows), rows: new.rows, into: new.target, on: pool)
    }
    try enlarge(new.rows, into: new.target)
    try raw(window.view, new.rows)
    try norm1(window.view, rows: new.rows, into: new.target, on: pool)
  }

  /// Rows of x as they are, where x is not stored.
  func enlarge(_ rows: Range<Int>, into target: Matrix) throws(ComputeError) {
    try upsample?(
      source.view(halved(rows, height: source.height)), doubled: true, rows: rows, into: target,
      on: pool)
  }

  /// The first half of the block: statistics of the hidden map, which is stored if asked to.
  private func normalizationOfHidden(
    storing hidden: BandedImage?
  ) throws(ComputeError) -> GroupNormalization {
    let statistics = try GroupStatistics(
      groups: groups, channels: outputChannels, height: height, width: width)
    let convolution = try PackedConvolution(block.conv1, on: pool)
    var window = try RowWindow(
      channels: inputChannels, height: height, width: width, capacity: bandRows + 2)
    var passing: RowWindow?
    if hidden == nil {
      passing = try RowWindow(
        channels: outputChannels, height: height, width: width, capacity: bandRows)
    }
    for first in stride(from: 0, to: height, by: bandRows) {
      let rows = first..<min(height, first + bandRows)
      try advance(&window, keeping: max(0, first - 1), to: rows.upperBound + 1)
      if let hidden {
        try convolution(
          window.view, rows: rows, into: try hidden.band(first / bandRows), on: pool)
        try statistics.gather(hidden.view(rows), rows: rows, on: pool)
      } else if let new = passing?.advance(keeping: first, to: rows.upperBound),
        let view = passing?.view
      {
        try convolution(window.view, rows: rows, into: new.target, on: pool)
        try statistics.gather(view, rows: rows, on: pool)
      }
    }
    return block.norm2.normalization(statistics, groups: groups, activation: true)
  }

  // MARK: Second half

  /// With the hidden map stored, which is freed on the way.
  private func finish(
    _ hidden: BandedImage, _ norm2: GroupNormalization
  ) throws(ComputeError) -> BandedImage {
    for band in 0..<hidden.bandCount {
      let rows = hidden.rows(ofBand: band)
      try norm2(hidden.view(rows), rows: rows, into: try hidden.band(band), on: pool)
    }
    let convolution = try PackedConvolution(block.conv2, on: pool)
    var result = try ResidualResult(self, storesHidden: true)
    for band in 0..<result.image.bandCount {
      let rows = result.image.rows(ofBand: band)
      try result.write(rows) { (target) throws(ComputeError) in
        try convolution(
          hidden.view(max(0, rows.lowerBound - 1)..<min(height, rows.upperBound + 1)), rows: rows,
          into: target, on: pool)
      }
      hidden.release(before: rows.upperBound - 1)
    }
    return result.image
  }

  /// With the hidden map computed again.
  private func finishAgain(_ norm2: GroupNormalization) throws(ComputeError) -> BandedImage {
    let conv1 = try PackedConvolution(block.conv1, on: pool)
    let conv2 = try PackedConvolution(block.conv2, on: pool)
    var result = try ResidualResult(self, storesHidden: false)
    var window = try RowWindow(
      channels: inputChannels, height: height, width: width, capacity: bandRows + 2)
    var hidden = try RowWindow(
      channels: outputChannels, height: height, width: width, capacity: bandRows + 2)
    for band in 0..<result.image.bandCount {
      let rows = result.image.rows(ofBand: band)
      let first = rows.lowerBound
      try advance(&window, keeping: first, to: rows.upperBound + 2) {
        (x, rows) throws(ComputeError) in
        try result.keep(x, rows, from: first)
      }
      let new = hidden.advance(
        keeping: max(0, first - 1), to: min(height, rows.upperBound + 1))
      try conv1(window.view, rows: new.rows, into: new.target, on: pool)
      try norm2(hidden.view, rows: new.rows, into: new.target, on: pool)
      try result.write(rows) { (target) throws(ComputeError) in
        try conv2(hidden.view, rows: rows, into: target, on: pool)
      }
    }
    return result.image
  }
}
