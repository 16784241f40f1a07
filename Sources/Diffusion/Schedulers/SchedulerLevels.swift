import Foundation

/// How a scheduler's configuration spreads noise levels.
package struct SchedulerLevels: Sendable, Equatable {
  /// What is made of a class's own levels: only their ends and their number count.
  enum Spread: Sendable, Equatable {
    case asTheyAre
    /// By the seventh root of the level.
    case karras
    /// Evenly in the level's logarithm.
    case exponential
    /// Quantiles of a beta distribution with α = β = 0.6.
    case beta
  }

  var base = SchedulerClass.Levels.family
  var spread = Spread.asTheyAre
  /// The level before 0, to which all are stretched; nil for the class's own.
  var terminal: Double?
  /// Whether models are asked at whole timesteps of training.
  package internal(set) var hasWholeTimesteps = false
  /// Factor between noise levels and training times.
  var trainTimesteps = 1000

  /// The family's own.
  package init() {}
}

extension NoiseSchedule {
  /// The family's schedule with a configuration's levels.
  package func configured(by levels: SchedulerLevels) -> any NoiseSchedule {
    levels == SchedulerLevels() ? self : ConfiguredSchedule(family: self, levels: levels)
  }
}

/// A flow's noise levels as a scheduler's configuration asks for them.
///
/// - SeeAlso: diffusers `schedulers/scheduling_flow_match_euler_discrete.py`,
///   `scheduling_flow_match_heun_discrete.py`, `scheduling_unipc_multistep.py` and
///   `scheduling_dpmsolver_multistep.py`, version 0.42.1.
private struct ConfiguredSchedule: NoiseSchedule {
  let family: any NoiseSchedule
  let levels: SchedulerLevels

  var shift: Double { family.shift }
  var mixture: NoiseMixture { family.mixture }
  var table: SigmaTable { family.table }

  func sigmas(custom: [Double]) -> [Float] { family.sigmas(custom: custom) }

  func timestep(sigma: Float) -> Float {
    levels.hasWholeTimesteps ? wholeTimestep(sigma) : family.timestep(sigma: sigma)
  }

  func modelTime(sigma: Float) -> Float {
    levels.hasWholeTimesteps ? wholeTimestep(sigma) / 1000 : family.modelTime(sigma: sigma)
  }

  /// diffusers cuts what is behind the point, of numbers with more digits than the level has here.
  private func wholeTimestep(_ sigma: Float) -> Float {
    let time = Double(sigma) * Double(levels.trainTimesteps)
    let nearest = time.rounded()
    let isWhole = abs(time - nearest) <= Double(sigma.ulp) * Double(levels.trainTimesteps)
    return Float(isWhole ? nearest : time.rounded(.down))
  }

  func sigmas(steps: Int) -> [Float] {
    var values = own(steps)
    if let terminal = levels.terminal, let last = values.last, last < 1 {
      // A single level of 1 cannot be stretched.
      let factor = (1 - last) / (1 - terminal)
      values = values.map { 1 - (1 - $0) / factor }
    }
    if levels.base == .evenFromOne, let first = values.first, abs(first - 1) < 1e-6 {
      values[0] -= 1e-6
    }
    return spread(values).map { Float($0) } + [0]
  }

  /// The class's levels without the last 0.
  private func own(_ steps: Int) -> [Double] {
    let least = 1 / Double(levels.trainTimesteps)
    func shifted(_ sigma: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }
    /// numpy's linspace of one point more than steps.
    func even(from first: Double, to last: Double) -> [Double] {
      let increment = (last - first) / Double(steps)
      return (0...steps).map { $0 == steps ? last : Double($0) * increment + first }
    }
    switch levels.base {
    case .family: return family.sigmas(steps: steps).dropLast().map { Double($0) }
    case .evenTimes:
      return FlowMatchSchedule(shift: shift, trainTimesteps: levels.trainTimesteps)
        .sigmas(steps: steps).dropLast().map { Double($0) }
    case .evenFromOne: return even(from: 1, to: least).dropLast().map(shifted)
    case .evenBelowOne:
      return even(from: 1, to: least).map { shifted(1 - $0) }.reversed().dropLast()
    }
  }

  private func spread(_ values: [Double]) -> [Double] {
    guard let first = values.first, let last = values.last, last > 0 else { return values }
    let count = values.count
    func share(_ index: Int) -> Double { count > 1 ? Double(index) / Double(count - 1) : 0 }
    switch levels.spread {
    case .asTheyAre: return values
    case .karras:
      let (high, low) = (pow(first, 1 / 7), pow(last, 1 / 7))
      return values.indices.map { pow(high + share($0) * (low - high), 7) }
    case .exponential:
      return values.indices.map { exp(log(first) + share($0) * (log(last) - log(first))) }
    case .beta:
      let distribution = BetaDistribution(0.6, 0.6)
      return values.indices.map { last + distribution.quantile(1 - share($0)) * (first - last) }
    }
  }
}
