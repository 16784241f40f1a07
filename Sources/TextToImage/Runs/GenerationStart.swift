import Compute
import Diffusion
import Images

/// What a picture starts from, and what unmasked parts of it return to after each step.
struct GenerationStart {
  /// At the first level of the schedule.
  let latents: Latents
  /// Of the picture that was encoded and the noise that was added; nil without a mask.
  private let origin: (picture: Latents, noise: [Float])?
  /// For each latent of a channel whether it is repainted.
  private let mask: [Bool]

  /// Noise, or given latents.
  init(_ latents: Latents) {
    self.latents = latents
    origin = nil
    mask = []
  }

  /// A picture with noise.
  ///
  /// The seed's generator is asked for the latents first, then for the noise, as in the reference.
  ///
  /// - Parameters:
  ///   - encoded: the picture.
  ///   - mask: for each latent of a channel whether it is repainted; nil for all.
  ///   - sigma: the first level.
  ///   - noise: the picture's stream of random numbers, which goes on in the steps.
  init(_ encoded: EncodedPicture, mask: [Bool]?, sigma: Float, noise: inout TorchNoise) {
    let picture = encoded.sample(&noise)
    let drawn = noise.normal(picture.values.count)
    latents = Self.noisy(picture, drawn, sigma)
    origin = mask == nil ? nil : (picture, drawn)
    self.mask = mask ?? []
  }

  /// Puts the picture's latents, as noisy as those of the level that was reached, where nothing is
  /// repainted.
  func restore(_ latents: inout Latents, sigma: Float) {
    guard let origin else { return }
    let noisy = Self.noisy(origin.picture, origin.noise, sigma).values
    for place in noisy.indices where !mask[place % mask.count] {
      latents.values[place] = noisy[place]
    }
  }

  /// `σ · noise + (1 − σ) · picture`
  private static func noisy(_ picture: Latents, _ noise: [Float], _ sigma: Float) -> Latents {
    picture.with(zip(picture.values, noise).map { sigma * $1 + (1 - sigma) * $0 })
  }
}

/// Turns latents into a picture, a few rows at a time.
///
/// - Throws: `GenerationError` if memory runs out, the work is cancelled or values are undefined.
func decodedPicture(
  _ latents: Latents, by codec: any LatentCodec, within bytes: Int?, on device: any ComputeDevice
) throws(GenerationError) -> RGBImage {
  let planes = try computing { () throws(ComputeError) in
    try codec.decode(latents, within: bytes, on: device)
  }
  return try RGBImage(width: planes.width, height: planes.height) {
    rows throws(GenerationError) in
    let pixels = rows.lowerBound * planes.width..<rows.upperBound * planes.width
    let values = try computing { () throws(ComputeError) in
      try device.read(planes.planes.columns(pixels))
    }
    guard values.allSatisfy(\.isFinite) else { throw .notFiniteImage }
    return values
  }
}

/// Turns a picture into latents.
///
/// - Throws: `GenerationError` if memory runs out, the work is cancelled or values are undefined.
func encodedPicture(
  _ planes: [Float], _ size: LatentSize, by encoder: any LatentEncoder, within bytes: Int?,
  on device: any ComputeDevice
) throws(GenerationError) -> EncodedPicture {
  let encoded = try computing { () throws(ComputeError) in
    try encoder.encode(planes, size, within: bytes, on: device)
  }
  guard encoded.mean.isFinite, encoded.deviation?.allSatisfy(\.isFinite) ?? true else {
    throw .notFiniteEncoding
  }
  return encoded
}
