import Compute

/// What both halves of an autoencoder consist of, each stage band by band of rows.
struct AutoencoderStages {
  /// Of the normalizations.
  let groups: Int
  let device: any ComputeDevice

  /// A residual block; `upsampled` makes its input from a map of half the size.
  func apply(
    _ block: AutoencoderDecoder.ResidualBlock, to x: BandedImage, upsampled: Convolution?,
    bandRows: Int, storesHidden: Bool
  ) throws(ComputeError) -> BandedImage {
    let run = try ResidualBlockRun(
      block, groups: groups, input: x, upsampled: upsampled, bandRows: bandRows, on: device)
    return try run(storesHidden: storesHidden)
  }

  /// Stores the enlarged map, freeing the small one on the way.
  private func enlarge(
    _ x: BandedImage, _ convolution: Convolution, bandRows: Int
  ) throws(ComputeError) -> BandedImage {
    let result = BandedImage(
      channels: convolution.outputChannels, height: 2 * x.height, width: 2 * x.width,
      bandRows: bandRows, on: device)
    let packed = try device.pack(convolution)
    for band in 0..<result.bandCount {
      let rows = result.rows(ofBand: band)
      try device.convolve(
        x.view(halved(rows, height: x.height)), by: packed, doubled: true, rows: rows,
        into: try result.band(band))
      x.release(before: (rows.upperBound - 1) / 2)
    }
    return result
  }

  /// Stores the map that enters a level, freeing the one before on the way.
  func enter(
    _ x: BandedImage, _ convolution: Convolution, bandRows: Int
  ) throws(ComputeError) -> BandedImage {
    convolution.stride == 1
      ? try enlarge(x, convolution, bandRows: bandRows)
      : try reduce(x, convolution, bandRows: bandRows)
  }

  /// Stores the map of half the size, freeing the large one on the way.
  private func reduce(
    _ x: BandedImage, _ convolution: Convolution, bandRows: Int
  ) throws(ComputeError) -> BandedImage {
    let result = BandedImage(
      channels: convolution.outputChannels, height: convolution.outputSide(x.height),
      width: convolution.outputSide(x.width), bandRows: bandRows, on: device)
    let packed = try device.pack(convolution)
    for band in 0..<result.bandCount {
      let rows = result.rows(ofBand: band)
      let read = convolution.inputRows(rows, height: x.height)
      try device.convolve(
        x.view(read), by: packed, doubled: false, rows: rows, into: try result.band(band))
      // The next band begins one row above the end of this one at most.
      x.release(before: read.upperBound - 1)
    }
    return result
  }

  /// Last normalization and convolution.
  func output(
    _ x: BandedImage, _ norm: AutoencoderDecoder.Norm, _ convolution: Convolution
  ) throws(ComputeError) -> ImagePlanes {
    let statistics = try GroupStatistics(
      groups: groups, channels: x.channels, height: x.height, width: x.width, on: device)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      try device.gather(x.view(rows), rows: rows, into: statistics)
    }
    let scaling = try norm.scaling(statistics, activation: true, on: device)
    let result = ImagePlanes(
      planes: try device.matrix(
        rows: convolution.outputChannels, columns: x.height * x.width), height: x.height,
      width: x.width)
    let packed = try device.pack(convolution)
    var window = try RowWindow(
      channels: x.channels, height: x.height, width: x.width, capacity: x.bandRows + 2,
      on: device)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let new = try window.advance(
        keeping: max(0, rows.lowerBound - 1), to: min(x.height, rows.upperBound + 1))
      try device.scale(x.view(new.rows), rows: new.rows, by: scaling, into: new.target)
      x.release(before: rows.upperBound)
      try device.convolve(
        window.view, by: packed, doubled: false, rows: rows,
        into: result.planes.columns(rows.lowerBound * x.width..<rows.upperBound * x.width))
    }
    return result
  }

  // MARK: Attention

  /// Self-attention over all pixels, added to `x`.
  func apply(
    _ attention: AutoencoderDecoder.Attention, to x: BandedImage
  ) throws(ComputeError) {
    let pixels = x.height * x.width
    let result = try device.matrix(rows: pixels, columns: x.channels, isTransient: true)
    try attend(attention, x, into: result)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let part = result.rows(rows.lowerBound * x.width..<rows.upperBound * x.width)
      let projected = try project(attention.output, part)
      let planes = try device.matrix(rows: x.channels, columns: part.rows, isTransient: true)
      try device.transpose(projected, into: planes)
      try device.add(planes, to: try x.band(band))
    }
    // Nothing that follows needs as much for products.
    device.releaseMemory()
  }

  private func attend(
    _ attention: AutoencoderDecoder.Attention, _ x: BandedImage, into result: Matrix
  ) throws(ComputeError) {
    let (q, k, v) = try queriesKeysValues(attention, x)
    try device.attend(
      Attention(
        q, k, v, sequences: [AttentionSequence(ranges: [0..<result.rows])],
        headDimension: x.channels, scale: 1 / Float(x.channels).squareRoot()), into: result)
  }

  private func queriesKeysValues(
    _ attention: AutoencoderDecoder.Attention, _ x: BandedImage
  ) throws(ComputeError) -> (Matrix, Matrix, Matrix) {
    let statistics = try GroupStatistics(
      groups: groups, channels: x.channels, height: x.height, width: x.width, on: device)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      try device.gather(x.view(rows), rows: rows, into: statistics)
    }
    let norm = try attention.norm.scaling(statistics, activation: false, on: device)
    let tokens = try device.matrix(
      rows: x.height * x.width, columns: x.channels, isTransient: true)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let pixels = rows.lowerBound * x.width..<rows.upperBound * x.width
      let normalized = try device.matrix(
        rows: x.channels, columns: pixels.count, isTransient: true)
      try device.scale(x.view(rows), rows: rows, by: norm, into: normalized)
      try device.transpose(normalized, into: tokens.rows(pixels))
    }
    return (
      try project(attention.q, tokens), try project(attention.k, tokens),
      try project(attention.v, tokens)
    )
  }

  private func project(
    _ layer: (weight: WeightMatrix, bias: [Float]), _ input: Matrix
  ) throws(ComputeError) -> Matrix {
    let result = try device.matrix(
      rows: input.rows, columns: layer.weight.rows, isTransient: true)
    try device.multiply(input, by: layer.weight, bias: layer.bias, into: result)
    return result
  }
}

extension AutoencoderDecoder.Norm {
  /// What normalizes an image whose statistics are gathered.
  func scaling(
    _ statistics: GroupStatistics, activation: Bool, on device: any ComputeDevice
  ) throws(ComputeError) -> ChannelScaling {
    ChannelScaling(
      normalizing: try device.moments(of: statistics), weight: weight, bias: bias,
      epsilon: AutoencoderDecoder.epsilon, activation: activation)
  }
}

/// The rows of a small map that rows of the twofold enlarged one's convolution depend on.
func halved(_ rows: Range<Int>, height: Int) -> Range<Int> {
  max(0, rows.lowerBound - 1) / 2..<min(height, rows.upperBound / 2 + 1)
}
