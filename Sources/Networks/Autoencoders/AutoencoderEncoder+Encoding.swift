import Checkpoints
import Compute
import Diffusion
import Foundation
import ModelFiles

extension AutoencoderEncoder: LatentEncoder {
  package var latentChannels: Int { configuration.latentChannels }
  package var downscaling: Int { 1 << (levels.count - 1) }
  package var latentScaling: LatentScaling {
    LatentScaling(
      scale: Float(configuration.scalingFactor), shift: Float(configuration.shiftFactor))
  }

  package func encode(
    _ picture: [Float], _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> EncodedPicture {
    let (height, width) = (size.height * downscaling, size.width * downscaling)
    let planes = try device.matrix(rows: 3, columns: height * width)
    try device.write(picture, to: planes)
    // The picture stays beside everything.
    let held = 3 * height * width * MemoryLayout<Float>.stride
    let plan = try BandPlan(
      works(size), groups: configuration.groups, within: bytes.map { max(0, $0 - held) },
      on: device)
    let parameters = try BandedEncoding(self, plan, on: device)(
      ImagePlanes(planes: planes, height: height, width: width))
    return encoded(try device.read(parameters.planes), size)
  }

  /// Means are the first half of the channels, logarithms of variances the second.
  private func encoded(_ parameters: [Float], _ size: LatentSize) -> EncodedPicture {
    let count = latentChannels * size.height * size.width
    return EncodedPicture(
      mean: Latents(Array(parameters[..<count]), channels: latentChannels, size: size),
      deviation: parameters[count...].map { expf(0.5 * min(max($0, -30), 20)) },
      scaling: latentScaling)
  }

  /// What is computed at each size, from the picture to the latents.
  private func works(_ size: LatentSize) -> [LevelWork] {
    levels.indices.map { index in
      let isLast = index == levels.count - 1
      let halvings = levels.count - 1 - index
      var work = LevelWork(
        height: size.height << halvings, width: size.width << halvings,
        entry: index > 0 ? levels[index - 1].downsample : nil,
        blocks: levels[index].blocks + (isLast ? [middle.first, middle.second] : []))
      if isLast {
        work.attention = middle.attention.map { ($0, middle.first.conv2.outputChannels) }
        work.output = (outputNorm, output)
      }
      return work
    }
  }

  /// All matrices in about the order of use.
  static func stream(_ encoder: AutoencoderEncoder) -> WeightStream {
    func weights(_ block: AutoencoderDecoder.ResidualBlock) -> [WeightMatrix] {
      [block.conv1, block.conv2, block.shortcut].compactMap { $0?.weight }
    }
    var matrices = [encoder.input.weight]
    for level in encoder.levels {
      matrices += level.blocks.flatMap(weights)
      if let downsample = level.downsample { matrices.append(downsample.weight) }
    }
    matrices += weights(encoder.middle.first)
    if let attention = encoder.middle.attention {
      matrices += [attention.q, attention.k, attention.v, attention.output].map(\.weight)
    }
    matrices += weights(encoder.middle.second) + [encoder.output.weight]
    if let quant = encoder.quant { matrices.append(quant.weight) }
    return WeightStream(matrices.map { [$0] })
  }
}

/// One run of an `AutoencoderEncoder`, band by band of rows as a plan says; as `BandedDecoding`.
struct BandedEncoding {
  private let encoder: AutoencoderEncoder
  private let stages: AutoencoderStages
  private let plan: BandPlan
  private var device: any ComputeDevice { stages.device }

  init(_ encoder: AutoencoderEncoder, _ plan: BandPlan, on device: any ComputeDevice) {
    self.encoder = encoder
    stages = AutoencoderStages(groups: encoder.configuration.groups, device: device)
    self.plan = plan
  }

  /// Encodes planes in −1...1.
  ///
  /// - Returns: means and logarithms of variances, twice the latents' channels.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func callAsFunction(_ picture: ImagePlanes) throws(ComputeError) -> ImagePlanes {
    var x = try input(picture)
    for (index, level) in encoder.levels.enumerated() {
      let plan = plan.levels[index]
      if index > 0, let convolution = encoder.levels[index - 1].downsample {
        x = try stages.enter(x, convolution, bandRows: plan.bandRows)
      }
      for (number, block) in level.blocks.enumerated() {
        x = try stages.apply(
          block, to: x, upsampled: nil, bandRows: plan.bandRows,
          storesHidden: plan.storesHidden[number])
      }
    }
    x = try middle(x)
    let parameters = try stages.output(x, encoder.outputNorm, encoder.output)
    guard let quant = encoder.quant else { return parameters }
    return try device.convolve(parameters, by: quant)
  }

  /// The first convolution, into bands of the first level.
  private func input(_ picture: ImagePlanes) throws(ComputeError) -> BandedImage {
    let x = BandedImage(
      channels: encoder.input.outputChannels, height: picture.height, width: picture.width,
      bandRows: plan.levels[0].bandRows, on: device)
    let packed = try device.pack(encoder.input)
    for band in 0..<x.bandCount {
      try device.convolve(
        ImageRows(picture), by: packed, doubled: false, rows: x.rows(ofBand: band),
        into: try x.band(band))
    }
    return x
  }

  /// The blocks behind the levels, at the size of the latents.
  private func middle(_ image: BandedImage) throws(ComputeError) -> BandedImage {
    let last = plan.levels[plan.levels.count - 1]
    let before = last.storesHidden.count - 2
    var x = image
    for (index, block) in [encoder.middle.first, encoder.middle.second].enumerated() {
      x = try stages.apply(
        block, to: x, upsampled: nil, bandRows: last.bandRows,
        storesHidden: last.storesHidden[before + index])
      if index == 0, let attention = encoder.middle.attention { try stages.apply(attention, to: x) }
    }
    return x
  }
}
