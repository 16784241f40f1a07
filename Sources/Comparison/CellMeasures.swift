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

/// What is kept of one picture.
package struct CellRecord: Sendable, Equatable {
  /// Nil for the reference itself.
  package var measures: CellMeasures?
  /// Mean seconds of a denoising step.
  package var secondsPerStep: Double
  /// Most memory that was resident.
  package var peakBytes: Int
}

/// The distance of `values` from `reference`, relative to the reference's length.
func relativeDistance(_ values: [Float], _ reference: [Float]) -> Double {
  var (difference, length) = (0.0, 0.0)
  for (value, reference) in zip(values, reference) {
    let (a, b) = (Double(value), Double(reference))
    difference += (a - b) * (a - b)
    length += b * b
  }
  return length > 0 ? (difference / length).squareRoot() : (difference > 0 ? .infinity : 0)
}

// MARK: JSON

extension JSONValue {
  /// A number; null where it is infinite, which JSON cannot say.
  static func finite(_ value: Double?) -> JSONValue {
    value.flatMap { $0.isFinite ? .double($0) : nil } ?? .null
  }

  static func numbers(_ values: [Double]) -> JSONValue { .array(values.map { .finite($0) }) }
}

extension CellRecord {
  /// The record as it is kept.
  var json: JSONValue {
    guard let measures else {
      return ["secondsPerStep": .double(secondsPerStep), "peakBytes": .integer(peakBytes)]
    }
    return [
      "psnr": .finite(measures.psnr), "ssim": .finite(measures.ssim),
      "msSSIM": .finite(measures.multiScaleSSIM), "flip": .double(measures.flip),
      "latentErrors": .numbers(measures.latentErrors),
      "velocityErrors": .numbers(measures.velocityErrors),
      "secondsPerStep": .double(secondsPerStep), "peakBytes": .integer(peakBytes),
    ]
  }

  /// Reads a record back; nil if it is none.
  init?(_ json: JSONValue) {
    guard let seconds = json["secondsPerStep"]?.doubleValue,
      let peak = json["peakBytes"]?.integerValue
    else { return nil }
    (secondsPerStep, peakBytes) = (seconds, peak)
    guard let flip = json["flip"]?.doubleValue else {
      measures = nil
      return
    }
    guard let psnr = json["psnr"], let latents = json["latentErrors"]?.arrayValue,
      let velocities = json["velocityErrors"]?.arrayValue
    else { return nil }
    measures = CellMeasures(
      psnr: psnr.doubleValue ?? .infinity, ssim: json["ssim"]?.doubleValue,
      multiScaleSSIM: json["msSSIM"]?.doubleValue, flip: flip,
      latentErrors: latents.map { $0.doubleValue ?? .infinity },
      velocityErrors: velocities.map { $0.doubleValue ?? .infinity })
  }
}
