/// How far results may be from a reference's, and why. Distances are those of `relativeError`, to
/// the largest reference value, unless said otherwise.
package enum Tolerance {
  /// One float32 network against its float32 reference.
  ///
  /// Rounding differs in order only: both carry a relative error of about √(width · layers) units
  /// of 2^-24, and widths here are below 256 with fewer than 20 sums on end (√(256 · 20) · 2^-24 ≈
  /// 4e-6); normalizations of small differences may raise it by one order.
  package static let network: Float = 4e-5

  /// Final latents of a whole run. The reference itself is 2e-5 away in float32 from float64.
  package static let latents: Float = 1e-4

  /// Final latents of a run with quantized weights, whose products round activations to 16 bits: at
  /// most √32 / (32767 · √12) = 5e-5 of each product, and guidance of 3.5 can amplify the
  /// difference of two branches sixfold.
  package static let roundedActivations: Float = 3e-4

  /// Sums of squares of activations, which double the relative error of what they are of (twice
  /// `latents`).
  package static let activationSums: Float = 2e-4

  /// 8-bit samples of pictures: latents within `latents` move a sample across a rounding border by
  /// one at most.
  package static let pixelDifference = 1

  /// The least peak signal-to-noise ratio of such pictures, in dB: one sample in twenty off by one
  /// is 61 dB.
  package static let pixelSignalToNoise = 60.0

  /// A float32 convolution against float64: sums of fewer than 256 products, whose roundings add up
  /// like a random walk (√256 · 2^-24 = 1e-6).
  package static let convolution: Float = 1e-6

  /// Relative difference of errors that are averages over thousands of elements, summed in another
  /// order and partly in float32.
  package static let averagedError = 1e-4
}
