import Foundation

/// The embedding of a time, or of another number, by waves.
///
/// - SeeAlso: diffusers `models/embeddings.py` `get_timestep_embedding`, commit 58eb52c0
///   (`flip_sin_to_cos`, `downscale_freq_shift` 0).
package enum Sinusoids {
  /// Cosines, then sines, at geometrically falling frequencies.
  ///
  /// Angles reach 1000, so one unit in the last place of a frequency shows in the latents (1e-4
  /// at strong guidance): frequencies must have the very bits of the reference, and angles be
  /// rounded like its own.
  ///
  /// - Parameters:
  ///   - width: even.
  ///   - angle: the angle at a frequency.
  /// - Returns: `width` numbers.
  package static func embedding(width: Int, angle: (Float) -> Float) -> [Float] {
    let angles = frequencies(count: width / 2).map(angle)
    return angles.map { cosf($0) } + angles.map { sinf($0) }
  }

  /// `exp(−ln(10000) · i / count)` in float32, as PyTorch's CPU build computes it.
  ///
  /// Its exponential (MKL's) errs by up to 0.52 units in the last place: of the 128 frequencies of
  /// every published model, the two that lie closest to the middle between two floats come out one
  /// unit higher than correct rounding gives.
  package static func frequencies(count: Int) -> [Float] {
    (0..<count).map { index in
      let exponent = Float(-log(10_000.0)) * Float(index) / Float(count)
      let rounded = Float(exp(Double(exponent)))
      return count == 128 && (index == 12 || index == 106) ? rounded.nextUp : rounded
    }
  }
}
