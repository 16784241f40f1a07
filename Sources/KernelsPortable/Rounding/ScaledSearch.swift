/// A scale for each of eight groups, and the error that it leaves.
struct ScaledFit {
  /// Of either sign.
  var scale: Floats8
  /// Sum of weighted squares.
  var error: Floats8

  /// Takes what is better by more than a margin.
  @_transparent
  mutating func improve(with other: ScaledFit, margin: Floats8) {
    let isLess = other.error .< error - margin
    scale = scale.replacing(with: other.scale, where: isLess)
    error = error.replacing(with: other.error, where: isLess)
  }
}

/// The numbers that a group's values are multiples of, times a scale.
enum Levels {
  /// The integers from `least` to `top`.
  case integers(least: Float, top: Float)
  /// The table of IQ4_NL.
  case table
}

/// Eight groups of values that are approximated by scale · level.
struct ScaledGroups {
  let values: UnsafePointer<Floats8>
  let weights: UnsafePointer<Floats8>
  let width: Int
  private let isTable: Bool
  /// Bounds of integer levels.
  private let bottom: Floats8
  private let limit: Floats8
  let least: Floats8
  let largest: Floats8
  /// The value of the largest magnitude, with its sign.
  let extreme: Floats8
  /// By how much an error must be less to count: of scales that fit equally well all groups take
  /// the first, so that one scale of the block suits them all.
  let margin: Floats8

  init(
    values: UnsafePointer<Floats8>, weights: UnsafePointer<Floats8>, width: Int, levels: Levels
  ) {
    self.values = values
    self.weights = weights
    self.width = width
    switch levels {
    case .table: (isTable, bottom, limit) = (true, Floats8(repeating: 0), Floats8(repeating: 0))
    case .integers(let least, let top):
      (isTable, bottom, limit) = (false, Floats8(repeating: least), Floats8(repeating: top))
    }
    var (least, largest) = (values[0], values[0])
    var energy = Floats8(repeating: 0)
    for index in 0..<width {
      let x = values[index]
      least = smaller(x, least)
      largest = larger(x, largest)
      energy += weights[index] * x * x
    }
    margin = energy * 1e-8
    self.least = least
    self.largest = largest
    extreme = largest.replacing(with: least, where: 0 - least .> largest)
  }

  /// The nearest levels.
  ///
  /// (A branch in each loop rather than a closure: closures are not always inlined.)
  @_transparent
  private func nearest(_ x: Floats8) -> Floats8 {
    isTable ? nearestLevels(x, asIndices: false) : smaller(larger(x, bottom), limit).rounded
  }

  /// Quantizes to levels with a scale, and fits the scale to the levels by least squares.
  @_transparent
  func fit(_ scale: Floats8) -> ScaledFit {
    let zero = Floats8(repeating: 0)
    let inverse = (1 / scale).zero(unless: scale .!= 0)
    // Sums over levels c and quantization errors e = x / scale − c.
    var (sumCC, sumCE, sumEE) = (zero, zero, zero)
    for index in 0..<width {
      let w = weights[index]
      let y = values[index] * inverse
      let c = nearest(y)
      let e = y - c
      let we = w * e
      sumCC += w * c * c
      sumCE += we * c
      sumEE += we * e
    }
    let a = (sumCE / sumCC).zero(unless: sumCC .> 0)
    return ScaledFit(
      scale: scale + a * scale, error: (sumEE - a * sumCE) * (scale * scale))
  }

  /// The best of a grid of scales, then improved by quantizing with what was fitted.
  @_transparent
  func search(_ grid: ScaleGrid) -> ScaledFit {
    var best = fit(extreme / grid.start)
    for index in 0..<grid.steps {
      let divisor = grid.first + grid.step * Float(index)
      best.improve(with: fit(extreme / divisor), margin: margin)
    }
    for index in 0..<grid.mirroredSteps {
      let divisor = grid.mirroredFirst + grid.mirroredStep * Float(index)
      best.improve(with: fit(extreme / divisor), margin: margin)
    }
    for _ in 0..<grid.sweeps { best.improve(with: fit(best.scale), margin: margin) }
    return best
  }

  /// The weighted squares that a scale leaves.
  @_transparent
  func squares(_ scale: Floats8) -> Floats8 {
    let inverse = (1 / scale).zero(unless: scale .!= 0)
    var squares = Floats8(repeating: 0)
    for index in 0..<width {
      let r = values[index] - scale * nearest(values[index] * inverse)
      squares += weights[index] * r * r
    }
    return squares
  }

  /// Weighted sums of the levels' squares and of levels times differences.
  @_transparent
  func moments(_ scale: Floats8) -> (cc: Floats8, cr: Floats8) {
    let inverse = (1 / scale).zero(unless: scale .!= 0)
    var (cc, cr) = (Floats8(repeating: 0), Floats8(repeating: 0))
    for index in 0..<width {
      let c = nearest(values[index] * inverse)
      let wc = weights[index] * c
      cc += wc * c
      cr += wc * (values[index] - scale * c)
    }
    return (cc, cr)
  }
}

/// What the value of the largest magnitude is divided by to get scales to try.
struct ScaleGrid {
  let start: Float
  let first: Float, step: Float, steps: Int
  /// Scales of the other sign.
  var mirroredFirst: Float = 0, mirroredStep: Float = 0, mirroredSteps = 0
  /// Iterations of fitting after that.
  let sweeps: Int
}

/// The nearest levels of `IQ4_NL.levels`, the lesser in the middle, or their indices there.
@_transparent
func nearestLevels(_ x: Floats8, asIndices: Bool) -> Floats8 {
  var level = Floats8(repeating: asIndices ? 0 : -127)
  level += step(x, above: -115.5, asIndices ? 1 : 23)
  level += step(x, above: -93.5, asIndices ? 1 : 21)
  level += step(x, above: -74, asIndices ? 1 : 18)
  level += step(x, above: -57, asIndices ? 1 : 16)
  level += step(x, above: -42, asIndices ? 1 : 14)
  level += step(x, above: -28.5, asIndices ? 1 : 13)
  level += step(x, above: -16, asIndices ? 1 : 12)
  level += step(x, above: -4.5, asIndices ? 1 : 11)
  level += step(x, above: 7, asIndices ? 1 : 12)
  level += step(x, above: 19, asIndices ? 1 : 12)
  level += step(x, above: 31.5, asIndices ? 1 : 13)
  level += step(x, above: 45.5, asIndices ? 1 : 15)
  level += step(x, above: 61, asIndices ? 1 : 16)
  level += step(x, above: 79, asIndices ? 1 : 20)
  level += step(x, above: 101, asIndices ? 1 : 24)
  return level
}

/// A height in lanes above a border, else zero.
@_transparent
private func step(_ x: Floats8, above border: Float, _ height: Float) -> Floats8 {
  Floats8(repeating: height).zero(unless: x .> Floats8(repeating: border))
}
