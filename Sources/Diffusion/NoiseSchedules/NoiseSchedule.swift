/// The noise levels of a run.
package protocol NoiseSchedule: Sendable {
  /// The default levels for a number of steps, at least 1: one more than steps, ending in 0.
  func sigmas(steps: Int) -> [Float]
  /// The levels for a list chosen by the user, without the final 0.
  func sigmas(custom: [Double]) -> [Float]
  /// How strongly levels are pulled towards 1; 1 for not at all.
  var shift: Double { get }
  /// The time that the network is given at a level.
  func modelTime(sigma: Float) -> Float
}
