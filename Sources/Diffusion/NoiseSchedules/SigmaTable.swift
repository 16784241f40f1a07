import Foundation

/// The noise levels that a model was trained on, in rising order, with times between them.
package struct SigmaTable: Sendable {
  private enum Kind: Sendable {
    /// σ_i = S(i / count) for i from 1.
    case flow(shift: Double, count: Int)
    /// Levels of timesteps 0, 1, ….
    case levels([Double])
  }

  private let kind: Kind

  /// The levels of a flow.
  ///
  /// - Parameters:
  ///   - shift: pulls levels towards 1.
  ///   - count: of the levels.
  package init(shift: Double, count: Int) { kind = .flow(shift: shift, count: max(1, count)) }

  /// Levels of timesteps from 0; at least one, rising.
  package init(levels: [Double]) { kind = .levels(levels) }

  package var count: Int {
    switch kind {
    case .flow(_, let count): count
    case .levels(let levels): levels.count
    }
  }

  /// The level of an index from 0.
  package subscript(index: Int) -> Double {
    switch kind {
    case .flow(_, let count): sigma(ofTime: Double(index + 1) / Double(count))
    case .levels(let levels): levels[index]
    }
  }

  package var least: Double { self[0] }
  package var largest: Double { self[count - 1] }

  /// The level of a time: logarithms between those of the two next timesteps; for flows the shifted
  /// time, from 0 to 1.
  package func sigma(ofTime time: Double) -> Double {
    switch kind {
    case .flow(let shift, _): return shift * time / (1 + (shift - 1) * time)
    case .levels(let levels):
      let time = min(max(time, 0), Double(levels.count - 1))
      let low = Int(time)
      let (high, part) = (min(low + 1, levels.count - 1), time - Double(low))
      return exp((1 - part) * log(levels[low]) + part * log(levels[high]))
    }
  }

  /// The time that stands for a level: the nearest timestep; for flows the level itself, so that
  /// schedules by times are shifted twice, as in ComfyUI.
  package func time(ofSigma sigma: Double) -> Double {
    switch kind {
    case .flow: return sigma
    case .levels(let levels):
      let wanted = log(sigma)
      var best = (index: 0, distance: Double.infinity)
      for (index, level) in levels.enumerated() {
        let distance = abs(wanted - log(level))
        if distance < best.distance { best = (index, distance) }
      }
      return Double(best.index)
    }
  }
}

extension SigmaTable {
  /// The levels of Stable Diffusion: the root of β rises evenly from √0.00085 to √0.012 over 1000
  /// timesteps, σ = √((1 − ᾱ) / ᾱ).
  package static let stableDiffusion: SigmaTable = {
    let (first, last) = (0.00085.squareRoot(), 0.012.squareRoot())
    var product = 1.0
    return SigmaTable(
      levels: (0..<1000).map { index in
        let root = first + (last - first) * Double(index) / 999
        product *= 1 - root * root
        return ((1 - product) / product).squareRoot()
      })
  }()
}

extension SigmaTable {
  /// The time of a level, not whole: between the two next timesteps by the level's logarithm.
  package func interpolatedTime(ofSigma sigma: Double) -> Double {
    var (low, high) = (0, count - 1)
    guard sigma > self[low] else { return 0 }
    guard sigma < self[high] else { return Double(high) }
    while high - low > 1 {
      let middle = (low + high) / 2
      if self[middle] <= sigma { low = middle } else { high = middle }
    }
    return Double(low) + log(sigma / self[low]) / log(self[high] / self[low])
  }
}
