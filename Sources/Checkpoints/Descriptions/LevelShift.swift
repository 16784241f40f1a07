import Foundation

/// How strongly noise levels are pulled towards 1.
package enum LevelShift: Sendable, Equatable {
  /// The same for all pictures.
  case fixed(Double)
  /// Stronger for larger pictures.
  case dynamic(DynamicShift)

  /// The shift of a picture of some image tokens.
  package func factor(imageTokens: Int) -> Double {
    switch self {
    case .fixed(let shift): shift
    case .dynamic(let rule):
      rule.isLinear
        ? rule.exponent(imageTokens: imageTokens) : exp(rule.exponent(imageTokens: imageTokens))
    }
  }

  /// The shift of all pictures; nil where it depends on their size.
  package var fixed: Double? {
    if case .fixed(let shift) = self { shift } else { nil }
  }
}

/// A shift that depends on the size of a picture: the exponential of a straight line through two
/// points, or the line itself.
package struct DynamicShift: Sendable, Equatable {
  /// Exponents of a small and of a large picture.
  package var base, maximum: Double
  /// Image tokens of the small and of the large picture.
  package var baseTokens, maximumTokens: Int
  /// Whether the line itself is the shift.
  package var isLinear = false

  package init(base: Double, maximum: Double, baseTokens: Int, maximumTokens: Int) {
    self.base = base
    self.maximum = maximum
    self.baseTokens = baseTokens
    self.maximumTokens = maximumTokens
  }

  /// The exponent for a picture of some image tokens; the line goes on beyond its points.
  package func exponent(imageTokens: Int) -> Double {
    let slope = (maximum - base) / Double(maximumTokens - baseTokens)
    return Double(imageTokens) * slope + (base - slope * Double(baseTokens))
  }
}
