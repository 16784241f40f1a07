import Checkpoints

/// The noise levels of a flow-matching run in equal steps from 1 to 1 / steps, shifted once.
///
/// Bit-exact with diffusers' `FlowMatchEulerDiscreteScheduler` where a pipeline hands it such
/// levels, with a fixed shift or one that depends on the number of image tokens.
///
/// - SeeAlso: diffusers `schedulers/scheduling_flow_match_euler_discrete.py`, version 0.42.1.
package struct LinearFlowSchedule: NoiseSchedule {
  package let shift: Double
  /// Whether the shift depends on the picture's size.
  private let isDynamic: Bool
  private let trainTimesteps: Int

  /// - Parameters:
  ///   - shift: pulls levels towards 1: more steps at high noise.
  ///   - imageTokens: image tokens of one picture.
  ///   - trainTimesteps: factor between a level and the time that the network was trained with.
  package init(shift: LevelShift, imageTokens: Int, trainTimesteps: Int = 1000) {
    self.shift = shift.factor(imageTokens: imageTokens)
    isDynamic = shift.fixed == nil
    self.trainTimesteps = trainTimesteps
  }

  package func sigmas(steps: Int) -> [Float] {
    // numpy's linspace, which sets its last value exactly.
    let increment = steps > 1 ? (1 / Double(steps) - 1) / Double(steps - 1) : 0
    return sigmas(
      custom: (0..<steps).map { index in
        index > 0 && index == steps - 1 ? 1 / Double(steps) : Double(index) * increment + 1
      })
  }

  package func sigmas(custom: [Double]) -> [Float] { custom.map { shifted(Float($0)) } + [0] }

  package func modelTime(sigma: Float) -> Float { sigma * Float(trainTimesteps) / 1000 }

  package func timestep(sigma: Float) -> Float { sigma * 1000 }

  package var mixture: NoiseMixture { .flow }

  package var table: SigmaTable { SigmaTable(shift: shift, count: 10_000) }

  /// The two forms are the same function, but not to the last bit.
  private func shifted(_ sigma: Float) -> Float {
    isDynamic
      ? Float(shift) / (Float(shift) + (1 / sigma - 1))
      : Float(shift) * sigma / (1 + Float(shift - 1) * sigma)
  }
}
