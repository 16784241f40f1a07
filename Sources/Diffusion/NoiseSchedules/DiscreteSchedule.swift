/// The noise levels of models that were trained on 1000 levels and predict the noise, in the form
/// in which the picture's factor is 1.
///
/// - SeeAlso: diffusers `schedulers/scheduling_euler_discrete.py`, `scheduling_ddim.py` and
///   `scheduling_pndm.py`, version 0.42.1.
package struct DiscreteSchedule: NoiseSchedule {
  /// How timesteps are spread.
  package enum Spacing: Sendable, CaseIterable {
    /// Every n-th timestep, from 1 on: never the last ones.
    case leading
    /// Every n-th timestep, from the last one down.
    case trailing
    /// Evenly from the last to the first, not whole.
    case linear
  }

  private let spacing: Spacing
  /// Whether the last step leads to the first level instead of 0, as DDIM and PNDM do.
  private let endsAtFirstLevel: Bool
  package let table: SigmaTable

  /// - Parameters:
  ///   - spacing: of timesteps.
  ///   - endsAtFirstLevel: whether the last step leads to the first level instead of 0.
  ///   - table: the levels of training.
  package init(
    spacing: Spacing, endsAtFirstLevel: Bool = false, table: SigmaTable = .stableDiffusion
  ) {
    self.spacing = spacing
    self.endsAtFirstLevel = endsAtFirstLevel
    self.table = table
  }

  package var shift: Double { 1 }
  package var mixture: NoiseMixture { .varianceExploding }

  /// Timesteps of a number of steps, from high to low.
  package func timesteps(steps: Int) -> [Double] {
    let count = table.count
    switch spacing {
    case .leading:
      return (0..<steps).map { Double(min(count - 1, count / steps * (steps - 1 - $0) + 1)) }
    case .trailing:
      return (0..<steps).map {
        (Double(count) - Double($0) * Double(count) / Double(steps)).rounded(.toNearestOrEven) - 1
      }
    case .linear:
      return (0..<steps).map {
        steps > 1
          ? Double(count - 1) * Double(steps - 1 - $0) / Double(steps - 1) : Double(count - 1)
      }
    }
  }

  package func sigmas(steps: Int) -> [Float] {
    timesteps(steps: steps).map { Float(sigma(ofTimestep: $0)) }
      + [endsAtFirstLevel ? Float(table.least) : 0]
  }

  package func sigmas(custom: [Double]) -> [Float] { custom.map { Float($0) } + [0] }

  package func modelTime(sigma: Float) -> Float { timestep(sigma: sigma) }

  /// Between timesteps by the logarithm of the level.
  package func timestep(sigma: Float) -> Float {
    Float(table.interpolatedTime(ofSigma: Double(sigma)))
  }

  /// diffusers goes between levels in a straight line.
  private func sigma(ofTimestep time: Double) -> Double {
    let low = Int(time)
    let (high, part) = (min(low + 1, table.count - 1), time - Double(low))
    return (1 - part) * table[low] + part * table[high]
  }
}
