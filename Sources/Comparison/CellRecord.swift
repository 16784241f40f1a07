import StrictJSON

/// What is kept of one picture.
package struct CellRecord: Sendable, Equatable {
  /// Nil for the reference itself, and for a picture that could not be made.
  package var measures: CellMeasures?
  /// Why there is no picture: the weights led to values that are not finite.
  package var failure: String?
  /// Mean seconds of a denoising step.
  package var secondsPerStep: Double
  /// Peak resident memory while the picture was made; nil where the system does not tell.
  package var peakBytes: Int?
  /// How time and memory were had: threads, budget and access to files.
  package var circumstances: String
  /// Hashes of the picture's file and of its difference map's: names of files do not tell what they
  /// were made from.
  var pictureHash = ""
  var differenceHash = ""
}

extension CellRecord {
  /// The record as it is kept and told.
  var json: JSONValue {
    var members: [JSONValue.Member] = []
    if let measures {
      members += [
        .init(key: "psnr", value: .finite(measures.psnr)),
        .init(key: "ssim", value: .finite(measures.ssim)),
        .init(key: "msSSIM", value: .finite(measures.multiScaleSSIM)),
        .init(key: "flip", value: .double(measures.flip)),
        .init(key: "latentErrors", value: .numbers(measures.latentErrors)),
        .init(key: "velocityErrors", value: .numbers(measures.velocityErrors)),
      ]
    }
    if let failure { members.append(.init(key: "failure", value: .string(failure))) }
    return .object(
      members + [
        .init(key: "secondsPerStep", value: .finite(secondsPerStep)),
        .init(key: "peakBytes", value: peakBytes.map { .integer($0) } ?? .null),
        .init(key: "circumstances", value: .string(circumstances)),
        .init(key: "pictureHash", value: .string(pictureHash)),
        .init(key: "differenceHash", value: .string(differenceHash)),
      ])
  }

  /// Reads a record back; nil if it is none.
  init?(_ json: JSONValue) {
    guard let picture = json["pictureHash"]?.stringValue,
      let difference = json["differenceHash"]?.stringValue,
      let circumstances = json["circumstances"]?.stringValue
    else { return nil }
    (pictureHash, differenceHash, self.circumstances) = (picture, difference, circumstances)
    secondsPerStep = json["secondsPerStep"]?.doubleValue ?? 0
    peakBytes = json["peakBytes"]?.integerValue
    failure = json["failure"]?.stringValue
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
