import Compute

/// One run of an `AutoencoderDecoder`, band by band of rows as a plan says.
///
/// Normalizations need statistics of whole maps, so every map that is not stored is computed once
/// for them and again for its use. Windows keep the rows that two bands share. All ways give the
/// same bits: a pixel's sums, and those of the statistics, have one order.
struct BandedDecoding {
  private let decoder: AutoencoderDecoder
  private let stages: AutoencoderStages
  private let plan: BandPlan
  private var device: any ComputeDevice { stages.device }

  init(_ decoder: AutoencoderDecoder, _ plan: BandPlan, on device: any ComputeDevice) {
    self.decoder = decoder
    stages = AutoencoderStages(groups: decoder.groups, device: device)
    self.plan = plan
  }

  /// Decodes latents in the autoencoder's own scale.
  ///
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func callAsFunction(_ z: ImagePlanes) throws(ComputeError) -> ImagePlanes {
    var x = try middle(z)
    for (index, level) in decoder.levels.enumerated() {
      let plan = plan.levels[index]
      var upsample = index > 0 ? decoder.levels[index - 1].upsample : nil
      if plan.storesInput, let convolution = upsample {
        x = try stages.enter(x, convolution, bandRows: plan.bandRows)
        upsample = nil
      }
      let before = index == 0 ? 2 : 0
      for (number, block) in level.blocks.enumerated() {
        x = try stages.apply(
          block, to: x, upsampled: number == 0 ? upsample : nil, bandRows: plan.bandRows,
          storesHidden: plan.storesHidden[before + number])
      }
    }
    return try stages.output(x, decoder.outputNorm, decoder.output)
  }

  /// Everything at the size of the latents that comes before the levels.
  private func middle(_ z: ImagePlanes) throws(ComputeError) -> BandedImage {
    let first = plan.levels[0]
    var quantized = z
    if let convolution = decoder.postQuant { quantized = try device.convolve(z, by: convolution) }
    let rows = ImageRows(quantized)
    var x = BandedImage(
      channels: decoder.input.outputChannels, height: z.height, width: z.width,
      bandRows: first.bandRows, on: device)
    let input = try device.pack(decoder.input)
    for band in 0..<x.bandCount {
      try device.convolve(
        rows, by: input, doubled: false, rows: x.rows(ofBand: band), into: try x.band(band))
    }
    let blocks = [decoder.middle.first, decoder.middle.second]
    for (index, block) in blocks.enumerated() {
      x = try stages.apply(
        block, to: x, upsampled: nil, bandRows: first.bandRows,
        storesHidden: first.storesHidden[index])
      if index == 0, let attention = decoder.middle.attention { try stages.apply(attention, to: x) }
    }
    return x
  }
}
