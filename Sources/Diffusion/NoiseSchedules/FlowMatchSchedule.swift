/// The noise levels of a flow-matching run.
///
/// Bit-exact with diffusers' `FlowMatchEulerDiscreteScheduler` in its static-shift form. Note that
/// the default schedule is shifted twice: once in its lowest level, once as a whole.
///
/// - SeeAlso: diffusers `schedulers/scheduling_flow_match_euler_discrete.py`, commit 58eb52c0.
package struct FlowMatchSchedule: NoiseSchedule {
  /// Pulls levels towards 1: more steps at high noise.
  package let shift: Double
  /// Factor between a level and the time that the network was trained with.
  package let trainTimesteps: Int

  package init(shift: Double, trainTimesteps: Int = 1000) {
    self.shift = shift
    self.trainTimesteps = trainTimesteps
  }

  /// The default levels for a number of steps.
  ///
  /// - Parameter steps: at least 1.
  /// - Returns: `steps + 1` levels from about 1 down to 0.
  package func sigmas(steps: Int) -> [Float] {
    let count = Double(trainTimesteps)
    let highest = Double(shifted(Float(1))) * count
    let lowest = Double(shifted(1 / Float(trainTimesteps))) * count
    let increment = steps > 1 ? (lowest - highest) / Double(steps - 1) : 0
    var sigmas = (0..<steps).map { index -> Float in
      // numpy's linspace sets its last value exactly.
      let time =
        index > 0 && index == steps - 1 ? lowest : Double(index) * increment + highest
      let sigma = time / count
      return Float(shift * sigma / (1 + (shift - 1) * sigma))
    }
    sigmas.append(0)
    return sigmas
  }

  /// The levels for a list chosen by the user, which is shifted once.
  ///
  /// - Parameter custom: levels without the final 0.
  /// - Returns: one more level than `custom`.
  package func sigmas(custom: [Double]) -> [Float] {
    custom.map { shifted(Float($0)) } + [0]
  }

  /// The time that the network is given at a level: 0...1 for the usual 1000 training steps.
  ///
  /// The reference multiplies by the number of training steps in the scheduler and divides by 1000,
  /// whatever that number is, in the pipeline; both in float32.
  package func modelTime(sigma: Float) -> Float {
    sigma * Float(trainTimesteps) / 1000
  }

  package func timestep(sigma: Float) -> Float { sigma * 1000 }

  package var mixture: NoiseMixture { .flow }

  package var table: SigmaTable { SigmaTable(shift: shift, count: trainTimesteps) }

  /// `s · σ / (1 + (s − 1) · σ)` in float32.
  private func shifted(_ sigma: Float) -> Float {
    Float(shift) * sigma / (1 + Float(shift - 1) * sigma)
  }
}
