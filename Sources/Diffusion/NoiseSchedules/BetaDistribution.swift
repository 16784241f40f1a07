import Foundation

/// A beta distribution.
struct BetaDistribution {
  private let alpha, beta: Double

  /// Both positive.
  init(_ alpha: Double, _ beta: Double) {
    self.alpha = alpha
    self.beta = beta
  }

  /// The number below which a share of the distribution lies, to about 1e-12.
  func quantile(_ share: Double) -> Double {
    guard share > 0 else { return 0 }
    guard share < 1 else { return 1 }
    var (low, high) = (0.0, 1.0)
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if cumulative(middle) < share { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }

  /// The regularized incomplete beta function by its continued fraction, which converges fast below
  /// the mean; above it, by symmetry.
  ///
  /// - SeeAlso: DLMF 8.17.22.
  func cumulative(_ x: Double) -> Double {
    guard x > 0 else { return 0 }
    guard x < 1 else { return 1 }
    guard x <= (alpha + 1) / (alpha + beta + 2) else {
      return 1 - BetaDistribution(beta, alpha).cumulative(1 - x)
    }
    let logBeta = lgamma(alpha) + lgamma(beta) - lgamma(alpha + beta)
    let logFront = alpha * log(x) + beta * log(1 - x) - logBeta
    // Lentz's evaluation of 1 + 1 / (1 + d1 / (1 + d2 / …)).
    var (value, c, d) = (1.0, 1.0, 0.0)
    for index in 0..<300 {
      let m = Double(index / 2)
      let numerator: Double
      let place = alpha + 2 * m
      if index == 0 {
        numerator = 1
      } else if index % 2 == 0 {
        numerator = m * (beta - m) * x / ((place - 1) * place)
      } else {
        numerator = -(alpha + m) * (alpha + beta + m) * x / (place * (place + 1))
      }
      d = 1 / nonzero(1 + numerator * d)
      c = nonzero(1 + numerator / c)
      value *= c * d
      if abs(c * d - 1) < 1e-14 { break }
    }
    return exp(logFront) / alpha * (value - 1)
  }

  private func nonzero(_ value: Double) -> Double { abs(value) < 1e-300 ? 1e-300 : value }
}
