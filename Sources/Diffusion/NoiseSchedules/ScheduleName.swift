import Foundation

/// How noise levels are spread over a run, as ComfyUI computes them.
public enum ScheduleName: String, Sendable, CaseIterable {
  /// As the model's family is published.
  case `default`
  /// Every n-th of the levels of training.
  case simple
  /// Evenly in the network's times, to the least level and from there to 0.
  case normal
  /// Evenly in the network's times, with one more step than there are.
  case sgmUniform = "sgm_uniform"
  /// Every n-th level of training from the least one on.
  case ddimUniform = "ddim_uniform"
  /// By the seventh root of the level (Karras et al. 2022).
  case karras
  /// Evenly in the level's logarithm.
  case exponential
  /// Quantiles of a beta distribution with α = β = 0.6: more steps at both ends.
  case beta
  /// The first half in small even steps, then by a parabola.
  case linearQuadratic = "linear_quadratic"
  /// Evenly in the level's arcus tangent.
  case klOptimal = "kl_optimal"

  /// Names of other programs.
  private static let aliases: [String: ScheduleName] = [
    "discrete": .normal, "flow": .default, "auto": .default,
    "automatic": .default, "ddim": .ddimUniform, "linear": .sgmUniform,
  ]

  /// A schedule by its name here, in stable-diffusion.cpp or ComfyUI, in any case.
  public init?(named name: String) {
    let plain = name.lowercased().split(separator: "-").joined(separator: "_")
    guard let found = Self(rawValue: plain) ?? Self.aliases[plain] else { return nil }
    self = found
  }

  /// The levels for a number of steps.
  ///
  /// - Parameters:
  ///   - steps: at least 1.
  ///   - table: the levels of training.
  /// - Returns: levels in falling order and 0 at the end. `beta` has fewer steps where quantiles
  ///   coincide, `ddimUniform` one more where the steps do not divide the levels; nil for
  ///   `default`, which is the family's.
  /// - SeeAlso: ComfyUI `comfy/samplers.py` and `comfy/k_diffusion/sampling.py`.
  package func sigmas(steps: Int, _ table: SigmaTable) -> [Float]? {
    guard let levels = levels(steps, table) else { return nil }
    return levels.map { Float($0) } + (levels.last.map { abs($0) < 1e-5 } == true ? [] : [0])
  }

  private func levels(_ steps: Int, _ table: SigmaTable) -> [Double]? {
    let (count, n) = (table.count, Double(steps))
    let (least, largest) = (table.least, table.largest)
    /// A share of the way from the first level to the last.
    func share(_ index: Int) -> Double { steps > 1 ? Double(index) / (n - 1) : 0 }
    func byTimes(_ points: Int) -> [Double] {
      let (first, last) = (table.time(ofSigma: largest), table.time(ofSigma: least))
      return (0..<points).map { index in
        let part = points > 1 ? Double(index) / Double(points - 1) : 0
        return table.sigma(ofTime: first + (last - first) * part)
      }
    }
    switch self {
    case .default: return nil
    case .simple:
      return (0..<steps).map { table[max(0, count - 1 - $0 * count / steps)] }
    case .normal: return byTimes(steps)
    case .sgmUniform: return byTimes(steps + 1).dropLast()
    case .ddimUniform:
      return stride(from: min(1, count - 1), to: count, by: max(1, count / steps)).reversed()
        .map { table[$0] }
    case .karras:
      let (low, high) = (pow(least, 1 / 7), pow(largest, 1 / 7))
      return (0..<steps).map { pow(high + share($0) * (low - high), 7) }
    case .exponential:
      return (0..<steps).map { exp(log(largest) + share($0) * (log(least) - log(largest))) }
    case .klOptimal:
      return (0..<steps).map {
        tan(share($0) * atan(least) + (1 - share($0)) * atan(largest))
      }
    case .beta:
      let indices = (0..<steps).map { step in
        let quantile = BetaDistribution(0.6, 0.6).quantile(1 - Double(step) / n)
        return Int((quantile * Double(count - 1)).rounded(.toNearestOrEven))
      }
      return zip([-1] + indices, indices).compactMap { $0 == $1 ? nil : table[$1] }
    case .linearQuadratic: return Self.linearQuadratic(steps).map { (1 - $0) * largest }
    }
  }

  /// How far each step has come, from 0.
  private static func linearQuadratic(_ steps: Int) -> [Double] {
    guard steps > 1 else { return [0] }
    let (threshold, half, n) = (0.025, steps / 2, Double(steps))
    let m = Double(half)
    let rest = (n - m) * (n - m)
    let difference = m - threshold * n
    let quadratic = difference / (m * rest)
    let linear = threshold / m - 2 * difference / rest
    return (0..<steps).map { step in
      let k = Double(step)
      return step < half
        ? k * threshold / m : quadratic * k * k + linear * k + quadratic * m * m
    }
  }
}
