import Tensors

/// One run of an `AutoencoderDecoder`, band by band of rows as a plan says.
///
/// Normalizations need statistics of whole maps, so every map that is not stored is computed once
/// for them and again for its use. Windows keep the rows that two bands share. All ways give the
/// same bits: a pixel's sums, and those of the statistics, have one order.
struct BandedDecoding {
  let decoder: AutoencoderDecoder
  let plan: DecodingPlan
  let pool: ThreadPool

  /// Decodes latents in the autoencoder's own scale.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  func callAsFunction(_ z: ImagePlanes) throws(ComputeError) -> ImagePlanes {
    var x = try middle(z)
    for (index, level) in decoder.levels.enumerated() {
      let plan = plan.levels[index]
      var upsample = index > 0 ? decoder.levels[index - 1].upsample : nil
      if plan.storesInput, let convolution = upsample {
        x = try enlarge(x, convolution, bandRows: plan.bandRows)
        upsample = nil
      }
      let before = index == 0 ? 2 : 0
      for (number, block) in level.blocks.enumerated() {
        x = try apply(
          block, to: x, upsampled: number == 0 ? upsample : nil, bandRows: plan.bandRows,
          storesHidden: plan.storesHidden[before + number])
      }
    }
    return try output(x)
  }

  /// Everything at the size of the latents that comes before the levels.
  private func middle(_ z: ImagePlanes) throws(ComputeError) -> BandedImage {
    let first = plan.levels[0]
    let quantized = ImageRows(try decoder.postQuant?(z, on: pool) ?? z)
    var x = BandedImage(
      channels: decoder.input.outputChannels, height: z.height, width: z.width,
      bandRows: first.bandRows)
    let input = try PackedConvolution(decoder.input, on: pool)
    for band in 0..<x.bandCount {
      try input(quantized, rows: x.rows(ofBand: band), into: try x.band(band), on: pool)
    }
    let blocks = [decoder.middle.first, decoder.middle.second]
    for (index, block) in blocks.enumerated() {
      x = try apply(
        block, to: x, upsampled: nil, bandRows: first.bandRows,
        storesHidden: first.storesHidden[index])
      if index == 0, let attention = decoder.middle.attention { try apply(attention, to: x) }
    }
    return x
  }

  private func apply(
    _ block: AutoencoderDecoder.ResidualBlock, to x: BandedImage, upsampled: Convolution?,
    bandRows: Int, storesHidden: Bool
  ) throws(ComputeError) -> BandedImage {
    let run = try ResidualBlockRun(
      block, groups: decoder.groups, input: x, upsampled: upsampled, bandRows: bandRows, on: pool)
    return try run(storesHidden: storesHidden)
  }

  /// Stores the enlarged map, freeing the small one on the way.
  private func enlarge(
    _ x: BandedImage, _ convolution: Convolution, bandRows: Int
  ) throws(ComputeError) -> BandedImage {
    let result = BandedImage(
      channels: convolution.outputChannels, height: 2 * x.height, width: 2 * x.width,
      bandRows: bandRows)
    let packed = try PackedConvolution(convolution, on: pool)
    for band in 0..<result.bandCount {
      let rows = result.rows(ofBand: band)
      try packed(
        x.view(halved(rows, height: x.height)), doubled: true, rows: rows,
        into: try result.band(band), on: pool)
      x.release(before: (rows.upperBound - 1) / 2)
    }
    return result
  }

  /// Last normalization and convolution.
  private func output(_ x: BandedImage) throws(ComputeError) -> ImagePlanes {
    let statistics = try GroupStatistics(
      groups: decoder.groups, channels: x.channels, height: x.height, width: x.width)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      try statistics.gather(x.view(rows), rows: rows, on: pool)
    }
    let norm = decoder.outputNorm.normalization(
      statistics, groups: decoder.groups, activation: true)
    let result = try ImagePlanes(
      channels: decoder.output.outputChannels, height: x.height, width: x.width)
    let packed = try PackedConvolution(decoder.output, on: pool)
    var window = try RowWindow(
      channels: x.channels, height: x.height, width: x.width, capacity: x.bandRows + 2)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let new = window.advance(
        keeping: max(0, rows.lowerBound - 1), to: min(x.height, rows.upperBound + 1))
      try norm(x.view(new.rows), rows: new.rows, into: new.target, on: pool)
      x.release(before: rows.upperBound)
      try packed(
        window.view, rows: rows,
        into: result.planes.columns(rows.lowerBound * x.width..<rows.upperBound * x.width),
        on: pool)
    }
    return result
  }

  // MARK: Attention

  /// Self-attention over all pixels, added to `x`.
  private func apply(
    _ attention: AutoencoderDecoder.Attention, to x: BandedImage
  ) throws(ComputeError) {
    let pixels = x.height * x.width
    let result = try Matrix(rows: pixels, columns: x.channels, isMapped: true)
    try attend(attention, x, into: result)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let part = result.rows(rows.lowerBound * x.width..<rows.upperBound * x.width)
      let projected = try project(attention.output, part)
      let planes = try Matrix(rows: x.channels, columns: part.rows, isMapped: true)
      try transpose(projected, into: planes, on: pool)
      try add(planes, to: try x.band(band), on: pool)
    }
  }

  private func attend(
    _ attention: AutoencoderDecoder.Attention, _ x: BandedImage, into result: Matrix
  ) throws(ComputeError) {
    let (q, k, v) = try queriesKeysValues(attention, x)
    try Tensors.attend(
      q, k, v, sequences: [AttentionSequence(ranges: [0..<result.rows])],
      headDimension: x.channels, scale: 1 / Float(x.channels).squareRoot(), into: result, on: pool)
  }

  private func queriesKeysValues(
    _ attention: AutoencoderDecoder.Attention, _ x: BandedImage
  ) throws(ComputeError) -> (Matrix, Matrix, Matrix) {
    let statistics = try GroupStatistics(
      groups: decoder.groups, channels: x.channels, height: x.height, width: x.width)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      try statistics.gather(x.view(rows), rows: rows, on: pool)
    }
    let norm = attention.norm.normalization(statistics, groups: decoder.groups, activation: false)
    let tokens = try Matrix(rows: x.height * x.width, columns: x.channels, isMapped: true)
    for band in 0..<x.bandCount {
      let rows = x.rows(ofBand: band)
      let pixels = rows.lowerBound * x.width..<rows.upperBound * x.width
      let normalized = try Matrix(rows: x.channels, columns: pixels.count, isMapped: true)
      try norm(x.view(rows), rows: rows, into: normalized, on: pool)
      try transpose(normalized, into: tokens.rows(pixels), on: pool)
    }
    return (
      try project(attention.q, tokens), try project(attention.k, tokens),
      try project(attention.v, tokens)
    )
  }

  private func project(
    _ layer: (weight: WeightMatrix, bias: [Float]), _ input: Matrix
  ) throws(ComputeError) -> Matrix {
    let result = try Matrix(rows: input.rows, columns: layer.weight.rows, isMapped: true)
    try multiply(input, by: layer.weight, bias: layer.bias, into: result, on: pool)
    return result
  }
}

extension AutoencoderDecoder.Norm {
  func normalization(
    _ statistics: GroupStatistics, groups: Int, activation: Bool
  ) -> GroupNormalization {
    GroupNormalization(
      statistics, groups: groups, weight: weight, bias: bias,
      epsilon: AutoencoderDecoder.epsilon, activation: activation)
  }
}

/// The rows of a small map that rows of the twofold enlarged one's convolution depend on.
func halved(_ rows: Range<Int>, height: Int) -> Range<Int> {
  max(0, rows.lowerBound - 1) / 2..<min(height, rows.upperBound / 2 + 1)
}
