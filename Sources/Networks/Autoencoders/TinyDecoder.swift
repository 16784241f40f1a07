import Checkpoints
import Compute
import Diffusion
import Foundation
import ModelFiles

/// The decoder of a tiny autoencoder (TAESD family): a plain chain of small convolutions that
/// approximates a large decoder in a fraction of its time and memory.
///
/// It takes the transformer's latents as they are, unless its configuration names a scaling factor.
///
/// - SeeAlso: TAESD `taesd.py`; diffusers `models/autoencoders/vae.py` `DecoderTiny`, commit
///   58eb52c0.
package struct TinyDecoder: StoredLatentCodec {
  private enum Layer: Sendable {
    case convolution(Convolution)
    case rectify
    case double
    /// `ReLU(conv(ReLU(conv(ReLU(conv(x))))) + x)`
    case block([Convolution])
  }

  package let latentChannels: Int
  package let upscaling: Int
  package let weights: WeightStream
  /// What latents are divided by before decoding; 1 for all published ones.
  private let scalingFactor: Float
  /// It takes the place of an autoencoder, whose scaling counts.
  package let latentScaling: LatentScaling
  private let layers: [Layer]
  /// The other half, or what is wrong with it, which matters only to those who need it.
  private let encoder: Result<TinyEncoder?, ModelFileError>

  /// Opens the weights; the chain is read off their numbers.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  package init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    try source.refuseHint(AutoencoderDecoder.normGroups, "a tiny VAE has no normalizations")
    scalingFactor = Float(try source.value(Self.scale, in: 1e-6...1e6))
    latentScaling = LatentScaling(
      scale: scalingFactor * Float(source.published(Self.replacedScale)),
      shift: Float(source.published(Self.replacedShift)))
    guard let shape = weights.shape(of: "1.weight"), shape.count == 4 else {
      throw weights.unfit("1.weight", expected: "[channels, latent channels, 3, 3]")
    }
    latentChannels = shape[1]
    let count = weights.layerCount("")
    guard (2...256).contains(count) else {
      throw weights.malformed("the tiny VAE has \(count) layers, expected 2...256")
    }
    var layers: [Layer] = []
    var channels = latentChannels
    for index in 1..<count {
      layers.append(try Self.layer(index, last: count - 1, &channels, weights))
    }
    try Self.checkChain(layers, weights)
    guard channels == 3 else {
      throw weights.malformed("the tiny VAE ends in \(channels) channels, expected 3")
    }
    self.layers = layers
    self.weights = WeightStream(
      layers.flatMap { layer -> [WeightMatrix] in
        switch layer {
        case .convolution(let convolution): [convolution.weight]
        case .block(let convolutions): convolutions.map(\.weight)
        case .rectify, .double: []
        }
      }.map { [$0] })
    upscaling =
      1
      << layers.count {
        if case .double = $0 { true } else { false }
      }
    let factor = Double(scalingFactor)
    encoder = Result { () throws(ModelFileError) in
      guard weights.layerCount(Self.encoderPrefix) > 0 else { return nil }
      return try TinyEncoder(weights, prefix: Self.encoderPrefix, scale: factor)
    }
    try weights.expectNothingElse(ignoring: Self.idleParts)
  }

  package func openEncoder() throws(ModelFileError) -> (any LatentEncoder)? {
    try encoder.get()
  }

  /// Checks that every number without tensors really is an enlargement: between a block and a
  /// convolution, never beside another one. Otherwise the tensors of a layer are missing.
  private static func checkChain(
    _ layers: [Layer], _ weights: StoredWeights
  ) throws(ModelFileError) {
    for (index, layer) in layers.enumerated() {
      guard case .double = layer else { continue }
      if index > 0, case .block = layers[index - 1], index + 1 < layers.count,
        case .convolution = layers[index + 1], index + 2 < layers.count
      {
        continue
      }
      // Layers are numbered from 1. Of two in a row the first may well be an enlargement.
      var number = index + 1
      if index + 1 < layers.count, case .double = layers[index + 1] { number += 1 }
      throw weights.malformed(
        "tensor '\(weights.storedName("\(number).weight"))' or "
          + "'\(weights.storedName("\(number).conv.0.weight"))' is missing: the tiny VAE is "
          + "incomplete")
    }
  }

  private static func layer(
    _ index: Int, last: Int, _ channels: inout Int, _ weights: StoredWeights
  ) throws(ModelFileError) -> Layer {
    func convolution(_ name: String, to outputs: Int, hasBias: Bool) throws(ModelFileError)
      -> Convolution
    {
      Convolution(
        weight: try weights.convolution(
          "\(name).weight", outputs: outputs, inputs: channels, kernel: 3),
        bias: hasBias ? try weights.vector("\(name).bias", count: outputs) : nil, kernel: 3)
    }
    let parts = [0, 2, 4].map { "\(index).conv.\($0)" }
    if parts.contains(where: { weights.has("\($0).weight") || weights.has("\($0).bias") }) {
      var convolutions: [Convolution] = []
      for part in parts {
        convolutions.append(try convolution(part, to: channels, hasBias: true))
      }
      return .block(convolutions)
    }
    if weights.has("\(index).weight") || weights.has("\(index).bias") {
      let outputs = weights.shape(of: "\(index).weight")?.first ?? channels
      // Only the first and last layer have a bias; those after an enlargement have none.
      let layer = try convolution(
        "\(index)", to: outputs, hasBias: index == 1 || index == last)
      channels = outputs
      return .convolution(layer)
    }
    // Modules without parameters are numbered too: a ReLU after the first layer, else enlargements.
    return index == 2 ? .rectify : .double
  }

  /// A tiny decoder is small enough to hold its maps whole, whatever the bound.
  package func decode(
    _ latents: Latents, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) -> ImagePlanes {
    let (height, width) = (latents.size.height, latents.size.width)
    var x = ImagePlanes(
      planes: try device.matrix(
        latents.values.map { tanhf($0 / scalingFactor / 3) * 3 }, rows: latents.channels,
        columns: height * width), height: height, width: width)
    var isDoubled = false
    for layer in layers {
      switch layer {
      case .convolution(let convolution):
        x = try device.convolve(x, by: convolution, doubled: isDoubled)
        isDoubled = false
      case .rectify: try device.apply(.rectifier, to: x.planes)
      case .double: isDoubled = true
      case .block(let convolutions): x = try apply(convolutions, to: x, on: device)
      }
    }
    // The chain ends in 0...1.
    try device.scale(
      ImageRows(x), rows: 0..<x.height,
      by: ChannelScaling(scale: 2, offset: -1, channels: x.channels), into: x.planes)
    return x
  }

  private func apply(
    _ convolutions: [Convolution], to x: ImagePlanes, on device: any ComputeDevice
  ) throws(ComputeError) -> ImagePlanes {
    var hidden = try device.convolve(x, by: convolutions[0])
    for convolution in convolutions.dropFirst() {
      try device.apply(.rectifier, to: hidden.planes)
      hidden = try device.convolve(hidden, by: convolution)
    }
    try device.add(x.planes, to: hidden.planes)
    try device.apply(.rectifier, to: hidden.planes)
    return hidden
  }
}
