import Checkpoints

/// What makes a picture: a model's parts, opened and typed.
package protocol DiffusionModel: Sendable {
  associatedtype Text: Conditioner
  associatedtype Network: Denoiser where Network.Conditioning == Text.Conditioning

  var conditioner: Text { get }
  var denoiser: Network { get }
  var codec: any LatentCodec { get }

  /// The noise schedule of a run.
  ///
  /// - Parameters:
  ///   - shift: as the user or the model wants it.
  ///   - size: of the latents.
  /// - Returns: the schedule.
  func schedule(shift: LevelShift, size: LatentSize) -> any NoiseSchedule
}

extension DiffusionModel {
  /// All stages in the order of a run: text encoders, schedule, steps, decoder.
  package var stages: [WeightStage] {
    conditioner.stages + denoiser.scheduleStages + [denoiser.stepStage, decoderStage]
  }

  /// What the last stage reads.
  package var decoderStage: WeightStage { WeightStage("decoder", codec.weights) }
}
