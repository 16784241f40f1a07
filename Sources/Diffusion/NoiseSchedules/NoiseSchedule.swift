/// The noise levels of a run.
package protocol NoiseSchedule: Sendable {
  /// The default levels for a number of steps, at least 1: one more than steps.
  func sigmas(steps: Int) -> [Float]
  /// The levels for a list chosen by the user, without the final 0.
  func sigmas(custom: [Double]) -> [Float]
  /// How strongly levels are pulled towards 1; 1 for not at all.
  var shift: Double { get }
  /// The time that the network is given at a level.
  func modelTime(sigma: Float) -> Float
  /// The training timestep of a level, from 0 to 1000.
  func timestep(sigma: Float) -> Float
  /// How noise and pictures are mixed.
  var mixture: NoiseMixture { get }
  /// The levels of training.
  var table: SigmaTable { get }
}

extension NoiseSchedule {
  /// The levels of a run.
  package func run(_ sigmas: [Float]) -> SampledRun {
    SampledRun(
      mixture: mixture, sigmas: sigmas, timesteps: sigmas.dropLast().map { timestep(sigma: $0) })
  }
}
