import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Images
import Machine

/// Latents by themselves.
public struct PictureLatents: Sendable, Equatable {
  /// As the denoiser takes them, row-major.
  public let values: [Float]
  /// `[1, channels, height / f, width / f]`, where f is `Pipeline.upscaling`.
  public let shape: [Int]
}

extension Pipeline {
  /// Makes latents of a picture.
  ///
  /// - Parameters:
  ///   - picture: of any size.
  ///   - width: pixels per row, a multiple of `sizeMultiple`; nil for the picture's, or of its
  ///     shape.
  ///   - height: rows, a multiple of `sizeMultiple`; nil as with `width`.
  ///   - resize: how the picture becomes that large.
  ///   - seed: of the random numbers with which latents are drawn from the distribution that the
  ///     encoder gives, as a generation's start is; nil for its mean, which is the best guess.
  /// - Returns: the latents.
  /// - Throws: `GenerationError` for impossible sizes, a model without an encoder, too little
  ///   memory or cancelled work.
  public func encode(
    _ picture: RGBImage, width: Int? = nil, height: Int? = nil,
    resize: ResizeMode = .stretch, seed: UInt64? = nil
  ) async throws(GenerationError) -> PictureLatents {
    var request = GenerationRequest(prompt: "")
    (request.width, request.height) = (width, height)
    request.picture = StartPicture(picture, resize)
    let encoder = try openedEncoder()
    let settings = try settings(for: request)
    let size = LatentSize(
      height: settings.height / upscaling, width: settings.width / upscaling)
    let start = PreparedStart(
      StartPicture(picture, resize), width: settings.width, height: settings.height)
    return try await turn { (device) throws(GenerationError) in
      let demand = self.encoderDemand(encoder, size)
      let bytes = try self.activations(of: demand)
      encoder.weights.keep(atMost: 0)
      let encoded = try encodedPicture(
        start.planes, size, by: encoder, within: bytes, on: device)
      var noise = TorchNoise(seed: seed ?? 0)
      let latents = seed == nil ? encoded.mode : encoded.sample(&noise)
      return PictureLatents(
        values: latents.values, shape: [1, latents.channels, size.height, size.width])
    }
  }

  /// Makes a picture of latents.
  ///
  /// - Parameters:
  ///   - latents: as the denoiser takes them, `[channels, height, width]` row-major.
  ///   - height: rows of the latents.
  ///   - width: latents per row.
  /// - Returns: the picture.
  /// - Throws: `GenerationError` for another number of values, too little memory, undefined values
  ///   or cancelled work.
  public func decode(
    _ latents: [Float], height: Int, width: Int
  ) async throws(GenerationError) -> RGBImage {
    let (channels, codec) = (model.denoiser.geometry.channels, model.codec)
    guard height > 0, width > 0, height <= 1 << 16, width <= 1 << 16,
      height * width * upscaling * upscaling <= Self.maximumPixels,
      latents.count == channels * height * width
    else {
      throw .invalidRequest(
        "\(latents.count) latents are not [\(channels), \(height), \(width)], or those of more than "
          + "\(Self.maximumPixels) pixels")
    }
    guard latents.allSatisfy(\.isFinite) else {
      throw .invalidRequest("the latents hold NaN or infinite values")
    }
    let size = LatentSize(height: height, width: width)
    return try await turn { (device) throws(GenerationError) in
      let demand = EncoderDemand(
        stage: WeightStage("decoder", codec.weights),
        heldBytes: 3 * height * width * self.upscaling * self.upscaling,
        activations: { (bytes) throws(ComputeError) in
          try self.decoderActivations(size, within: bytes)
        })
      let bytes = try self.activations(of: demand)
      codec.weights.keep(atMost: 0)
      return try decodedPicture(
        Latents(latents, channels: channels, size: size), by: codec, within: bytes, on: device)
    }
  }

  /// What the activations of a stage by itself may take; nil for as much as they like.
  ///
  /// - Throws: `GenerationError.overBudget` if even the smallest way needs more than there is.
  private func activations(of demand: EncoderDemand) throws(GenerationError) -> Int? {
    guard let budget = memory.limit else { return nil }
    let fixed =
      baseBytes + Self.slackBytes + demand.heldBytes + demand.stage.weights.largestLayerBytes
    let limit = max(0, budget - fixed - budget / 50)
    let needed = try computing { () throws(ComputeError) in try demand.activations(limit) }
    guard needed <= limit else {
      let least = fixed + needed + budget / 50
      throw .overBudget(
        "the \(demand.stage.name) needs \(formattedBytes(least)) of memory, "
          + "\(formattedBytes(budget)) may be used: allow --memory \((least >> 20) + 64)MiB")
    }
    return limit
  }
}
