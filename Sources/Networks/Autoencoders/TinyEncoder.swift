import Checkpoints
import Compute
import Diffusion
import ModelFiles

/// The encoder of a tiny autoencoder (TAESD family): a plain chain of small convolutions, some of
/// which halve the sides. It gives the denoiser's latents themselves, not a distribution.
///
/// - SeeAlso: TAESD `taesd.py`; diffusers `models/autoencoders/vae.py` `EncoderTiny`, commit
///   58eb52c0.
package struct TinyEncoder: LatentEncoder {
  enum Layer: Sendable {
    case convolution(Convolution)
    /// `ReLU(conv(ReLU(conv(ReLU(conv(x))))) + x)`
    case block([Convolution])
  }

  package let latentChannels: Int
  package let downscaling: Int
  package let latentScaling: LatentScaling
  package let weights: WeightStream
  /// The chain, cut behind the convolutions that halve the sides.
  private let stages: [[Layer]]

  /// Opens a file with both halves, or one with the encoder alone, whose names have no prefix.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    let isWhole = weights.layerCount(TinyDecoder.encoderPrefix) > 0
    let scale = try source.value(TinyDecoder.scale, in: 1e-6...1e6)
    try self.init(weights, prefix: isWhole ? TinyDecoder.encoderPrefix : "", scale: scale)
    if !isWhole { try weights.expectNothingElse() }
  }

  /// Opens the weights; the chain is read off their numbers.
  ///
  /// - Parameters:
  ///   - weights: a file with both halves, or one with the encoder alone.
  ///   - prefix: of the encoder's names in it.
  ///   - scale: what its latents are multiplied by; 1 for all published ones.
  /// - Throws: `ModelFileError` for the first tensor that is missing or misshapen.
  package init(
    _ weights: StoredWeights, prefix: String, scale: Double
  ) throws(ModelFileError) {
    latentScaling = LatentScaling(scale: Float(scale))
    let count = weights.layerCount(prefix)
    guard (2...256).contains(count) else {
      throw weights.malformed("the tiny VAE's encoder has \(count) layers, expected 2...256")
    }
    var (stages, channels): ([[Layer]], Int) = ([[]], 3)
    for index in 0..<count {
      let layer = try Self.layer(prefix, index, last: count - 1, &channels, weights)
      stages[stages.count - 1].append(layer)
      if case .convolution(let convolution) = layer, convolution.stride == 2 { stages.append([]) }
    }
    latentChannels = channels
    downscaling = 1 << (stages.count - 1)
    self.stages = stages
    self.weights = WeightStream(
      stages.joined().flatMap { layer -> [WeightMatrix] in
        switch layer {
        case .convolution(let convolution): [convolution.weight]
        case .block(let convolutions): convolutions.map(\.weight)
        }
      }.map { [$0] })
  }

  private static func layer(
    _ prefix: String, _ index: Int, last: Int, _ channels: inout Int, _ weights: StoredWeights
  ) throws(ModelFileError) -> Layer {
    let name = "\(prefix)\(index)"
    let parts = [0, 2, 4].map { "\(name).conv.\($0)" }
    if parts.contains(where: { weights.has("\($0).weight") || weights.has("\($0).bias") }) {
      var convolutions: [Convolution] = []
      for part in parts {
        convolutions.append(
          Convolution(
            weight: try weights.convolution(
              "\(part).weight", outputs: channels, inputs: channels, kernel: 3),
            bias: try weights.vector("\(part).bias", count: channels), kernel: 3))
      }
      return .block(convolutions)
    }
    // The first and the last layer have a bias; those between, which halve the sides, have none.
    let isEnd = index == 0 || index == last
    let outputs = weights.shape(of: "\(name).weight")?.first ?? channels
    let convolution = Convolution(
      weight: try weights.convolution(
        "\(name).weight", outputs: outputs, inputs: channels, kernel: 3),
      bias: isEnd ? try weights.vector("\(name).bias", count: outputs) : nil, kernel: 3,
      stride: isEnd ? 1 : 2)
    channels = outputs
    return .convolution(convolution)
  }

  // MARK: Encoding

  package func encode(
    _ picture: [Float], _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> EncodedPicture {
    let bandRows = try bandRows(size, within: bytes, on: device)
    let values = try run(picture, size, bandRows: bandRows, on: device)
    return EncodedPicture(
      mean: Latents(values, channels: latentChannels, size: size), deviation: nil,
      scaling: latentScaling)
  }

  /// The most rows of a stage's result that can be computed at once within a bound: all of them, or
  /// a power of two less.
  private func bandRows(
    _ size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> Int {
    var rows = max(1, size.height * downscaling)
    guard let bytes else { return rows }
    while rows > 1 {
      let rehearsal = RehearsalDevice(of: device)
      let peak = try rehearsal.peakBytes { () throws(ComputeError) in
        _ = try run([], size, bandRows: rows, on: rehearsal)
      }
      if peak <= bytes { break }
      rows /= 2
    }
    return rows
  }

  private func run(
    _ picture: [Float], _ size: LatentSize, bandRows: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> [Float] {
    let (height, width) = (size.height * downscaling, size.width * downscaling)
    let planes = try device.matrix(rows: 3, columns: height * width)
    try device.write(picture, to: planes)
    var x = ImagePlanes(planes: planes, height: height, width: width)
    // The chain begins with 0...1.
    try device.scale(
      ImageRows(x), rows: 0..<height, by: ChannelScaling(scale: 0.5, offset: 0.5, channels: 3),
      into: planes)
    for stage in stages {
      x = try TinyEncodingStage(stage, x, on: device)(bandRows: bandRows)
    }
    return try device.read(x.planes)
  }
}

/// Some layers of a `TinyEncoder`, of whose maps only bands exist.
private struct TinyEncodingStage {
  private enum Layer {
    case convolution(PackedConvolution)
    case block([PackedConvolution])
  }

  private let layers: [Layer]
  private let source: ImagePlanes
  private let device: any ComputeDevice

  init(
    _ layers: [TinyEncoder.Layer], _ source: ImagePlanes, on device: any ComputeDevice
  ) throws(ComputeError) {
    var packed: [Layer] = []
    for layer in layers {
      switch layer {
      case .convolution(let convolution):
        packed.append(.convolution(try device.pack(convolution)))
      case .block(let convolutions):
        var filters: [PackedConvolution] = []
        for convolution in convolutions { filters.append(try device.pack(convolution)) }
        packed.append(.block(filters))
      }
    }
    self.layers = packed
    self.source = source
    self.device = device
  }

  /// The stage's result, some rows of it at a time.
  func callAsFunction(bandRows: Int) throws(ComputeError) -> ImagePlanes {
    guard case .convolution(let last)? = layers.last else { return source }
    let (height, width) = (
      last.convolution.outputSide(source.height), last.convolution.outputSide(source.width)
    )
    let result = ImagePlanes(
      planes: try device.matrix(rows: last.convolution.outputChannels, columns: height * width),
      height: height, width: width)
    for first in stride(from: 0, to: height, by: bandRows) {
      let rows = first..<min(height, first + bandRows)
      let read = last.convolution.inputRows(rows, height: source.height)
      let input = try self.rows(read, behind: layers.count - 1)
      try device.convolve(
        input, by: last, doubled: false, rows: rows,
        into: result.planes.columns(rows.lowerBound * width..<rows.upperBound * width))
    }
    return result
  }

  /// Rows of the map behind some layers, none of which changes its size.
  private func rows(_ rows: Range<Int>, behind count: Int) throws(ComputeError) -> ImageRows {
    guard count > 0 else { return ImageRows(source) }
    switch layers[count - 1] {
    case .convolution(let filters):
      let x = try self.rows(widened(rows, by: 1), behind: count - 1)
      return try convolve(x, filters, rows)
    case .block(let filters):
      let x = try self.rows(widened(rows, by: filters.count), behind: count - 1)
      var hidden = x
      for (index, filter) in filters.enumerated() {
        if index > 0 { try rectify(hidden) }
        hidden = try convolve(hidden, filter, widened(rows, by: filters.count - 1 - index))
      }
      if let planes = hidden.pieces.first?.planes, let piece = x.pieces.first {
        let first = rows.lowerBound - piece.first
        try device.add(
          piece.planes.columns(
            first * source.width..<(first + rows.count) * source.width), to: planes)
      }
      try rectify(hidden)
      return hidden
    }
  }

  private func widened(_ rows: Range<Int>, by count: Int) -> Range<Int> {
    max(0, rows.lowerBound - count)..<min(source.height, rows.upperBound + count)
  }

  private func rectify(_ x: ImageRows) throws(ComputeError) {
    for piece in x.pieces { try device.apply(.rectifier, to: piece.planes) }
  }

  private func convolve(
    _ x: ImageRows, _ filters: PackedConvolution, _ rows: Range<Int>
  ) throws(ComputeError) -> ImageRows {
    let channels = filters.convolution.outputChannels
    let result = try device.matrix(
      rows: channels, columns: rows.count * source.width, isTransient: true)
    try device.convolve(x, by: filters, doubled: false, rows: rows, into: result)
    return ImageRows(
      [(rows.lowerBound, result)], channels: channels, height: source.height, width: source.width)
  }
}
