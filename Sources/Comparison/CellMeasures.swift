import StrictJSON

/// How one picture of a level differs from the reference's, made from the same prompt and noise.
package struct CellMeasures: Sendable, Equatable {
  /// Peak signal-to-noise ratio in dB; infinite where the pictures are the same.
  package var psnr: Double
  /// Structural similarity, 1 for the same; nil where the picture is too small.
  package var ssim: Double?
  /// Structural similarity on several scales; nil where the picture is too small for two.
  package var multiScaleSSIM: Double?
  /// Mean FLIP error, 0 for the same.
  package var flip: Double
  /// Distance of the latents after each step, relative to the reference's.
  package var latentErrors: [Double]
  /// Distance of the predicted velocities at points of the reference's trajectory, relative to the
  /// reference's.
  package var velocityErrors: [Double]

  /// The velocity errors as one number: root of their mean square.
  package var velocityError: Double {
    let sum = velocityErrors.reduce(0) { $0 + $1 * $1 }
    return (sum / Double(max(1, velocityErrors.count))).squareRoot()
  }
}

// MARK: JSON

extension JSONValue {
  /// A number; null where it is infinite, which JSON cannot say.
  static func finite(_ value: Double?) -> JSONValue {
    value.flatMap { $0.isFinite ? .double($0) : nil } ?? .null
  }

  static func numbers(_ values: [Double]) -> JSONValue { .array(values.map { .finite($0) }) }
}
