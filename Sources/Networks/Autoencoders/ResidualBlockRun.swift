import Compute

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
  let device: any ComputeDevice
  private let norm1: ChannelScaling

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
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  init(
    _ block: AutoencoderDecoder.ResidualBlock, groups: Int, input: BandedImage,
    upsampled: Convolution?, bandRows: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    self.block = block
    self.groups = groups
    self.device = device
    self.bandRows = bandRows
    source = input
    let factor = upsampled == nil ? 1 : 2
    height = input.height * factor
    width = input.width * factor
    let statistics = try GroupStatistics(
      groups: groups, channels: block.conv1.inputChannels, height: height, width: width,
      on: device)
    if let upsampled {
      let packed = try device.pack(upsampled)
      upsample = packed
      var window = try RowWindow(
        channels: block.conv1.inputChannels, height: height, width: width, capacity: bandRows,
        on: device)
      for first in stride(from: 0, to: height, by: bandRows) {
        let new = try window.advance(keeping: first, to: min(height, first + bandRows))
        try device.convolve(
          input.view(halved(new.rows, height: input.height)), by: packed, doubled: true,
          rows: new.rows, into: new.target)
        try device.gather(window.view, rows: new.rows, into: statistics)
      }
    } else {
      upsample = nil
      for band in 0..<input.bandCount {
        let rows = input.rows(ofBand: band)
        try device.gather(input.view(rows), rows: rows, into: statistics)
      }
    }
    norm1 = try block.norm1.scaling(statistics, activation: true, on: device)
  }

  /// Computes the block.
  ///
  /// - Parameter storesHidden: whether the map between the convolutions is stored.
  /// - Returns: the result, in x's memory if it may stay there.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func callAsFunction(storesHidden: Bool) throws(ComputeError) -> BandedImage {
    let hidden = BandedImage(
      channels: outputChannels, height: height, width: width, bandRows: bandRows, on: device)
    let norm2 = try normalizationOfHidden(storing: storesHidden ? hidden : nil)
    return storesHidden
      ? try finish(hidden, norm2) : try finishAgain(norm2)
  }

  /// Rows of x in `window`, normalized there. `raw` is called before with the rows as they were.
  private func advance(
    _ window: inout RowWindow, keeping start: Int, to end: Int,
    raw: (_ x: ImageRows, _ rows: Range<Int>) throws(ComputeError) -> Void = { _, _ in }
  ) throws(ComputeError) {
    let new = try window.advance(keeping: start, to: min(height, end))
    guard !new.rows.isEmpty else { return }
    if upsample == nil {
      return try device.scale(
        source.view(new.rows), rows: new.rows, by: norm1, into: new.target)
    }
    try enlarge(new.rows, into: new.target)
    try raw(window.view, new.rows)
    try device.scale(window.view, rows: new.rows, by: norm1, into: new.target)
  }

  /// Rows of x as they are, where x is not stored.
  func enlarge(_ rows: Range<Int>, into target: Matrix) throws(ComputeError) {
    guard let upsample else { return }
    try device.convolve(
      source.view(halved(rows, height: source.height)), by: upsample, doubled: true, rows: rows,
      into: target)
  }

  /// The first half of the block: statistics of the hidden map, which is stored if asked to.
  private func normalizationOfHidden(
    storing hidden: BandedImage?
  ) throws(ComputeError) -> ChannelScaling {
    let statistics = try GroupStatistics(
      groups: groups, channels: outputChannels, height: height, width: width, on: device)
    let convolution = try device.pack(block.conv1)
    var window = try RowWindow(
      channels: inputChannels, height: height, width: width, capacity: bandRows + 2, on: device)
    var passing: RowWindow?
    if hidden == nil {
      passing = try RowWindow(
        channels: outputChannels, height: height, width: width, capacity: bandRows, on: device)
    }
    for first in stride(from: 0, to: height, by: bandRows) {
      let rows = first..<min(height, first + bandRows)
      try advance(&window, keeping: max(0, first - 1), to: rows.upperBound + 1)
      if let hidden {
        try device.convolve(
          window.view, by: convolution, doubled: false, rows: rows,
          into: try hidden.band(first / bandRows))
        try device.gather(hidden.view(rows), rows: rows, into: statistics)
      } else if let new = try passing?.advance(keeping: first, to: rows.upperBound),
        let view = passing?.view
      {
        try device.convolve(
          window.view, by: convolution, doubled: false, rows: rows, into: new.target)
        try device.gather(view, rows: rows, into: statistics)
      }
    }
    return try block.norm2.scaling(statistics, activation: true, on: device)
  }

  // MARK: Second half

  /// With the hidden map stored, which is freed on the way.
  private func finish(
    _ hidden: BandedImage, _ norm2: ChannelScaling
  ) throws(ComputeError) -> BandedImage {
    for band in 0..<hidden.bandCount {
      let rows = hidden.rows(ofBand: band)
      try device.scale(hidden.view(rows), rows: rows, by: norm2, into: try hidden.band(band))
    }
    let convolution = try device.pack(block.conv2)
    var result = try ResidualResult(self, storesHidden: true)
    for band in 0..<result.image.bandCount {
      let rows = result.image.rows(ofBand: band)
      try result.write(rows) { (target) throws(ComputeError) in
        try device.convolve(
          hidden.view(max(0, rows.lowerBound - 1)..<min(height, rows.upperBound + 1)),
          by: convolution, doubled: false, rows: rows, into: target)
      }
      hidden.release(before: rows.upperBound - 1)
    }
    return result.image
  }

  /// With the hidden map computed again.
  private func finishAgain(_ norm2: ChannelScaling) throws(ComputeError) -> BandedImage {
    let conv1 = try device.pack(block.conv1)
    let conv2 = try device.pack(block.conv2)
    var result = try ResidualResult(self, storesHidden: false)
    var window = try RowWindow(
      channels: inputChannels, height: height, width: width, capacity: bandRows + 2, on: device)
    var hidden = try RowWindow(
      channels: outputChannels, height: height, width: width, capacity: bandRows + 2, on: device)
    for band in 0..<result.image.bandCount {
      let rows = result.image.rows(ofBand: band)
      let first = rows.lowerBound
      try advance(&window, keeping: first, to: rows.upperBound + 2) {
        (x, rows) throws(ComputeError) in
        try result.keep(x, rows, from: first)
      }
      let new = try hidden.advance(
        keeping: max(0, first - 1), to: min(height, rows.upperBound + 1))
      try device.convolve(
        window.view, by: conv1, doubled: false, rows: new.rows, into: new.target)
      try device.scale(hidden.view, rows: new.rows, by: norm2, into: new.target)
      try result.write(rows) { (target) throws(ComputeError) in
        try device.convolve(hidden.view, by: conv2, doubled: false, rows: rows, into: target)
      }
    }
    return result.image
  }
}
