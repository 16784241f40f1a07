/// A scale and an offset for each of eight groups, and the error that they leave.
struct AffineFit {
  /// Not negative.
  var scale: Floats8
  var offset: Floats8
  /// Sum of weighted squares.
  var error: Floats8

  /// Takes what is better by more than a margin.
  @_transparent
  mutating func improve(with other: AffineFit, margin: Floats8) {
    let isLess = other.error .< error - margin
    scale = scale.replacing(with: other.scale, where: isLess)
    offset = offset.replacing(with: other.offset, where: isLess)
    error = error.replacing(with: other.error, where: isLess)
  }
}

/// Eight groups of values that are approximated by scale · code + offset, codes from 0.
struct AffineGroups {
  let values: UnsafePointer<Floats8>
  let weights: UnsafePointer<Floats8>
  let width: Int
  /// The largest code.
  let top: Float
  /// Whether offsets above zero cannot be stored.
  let boundsOffsets: Bool
  let weightSum: Floats8
  let least: Floats8
  let largest: Floats8
  /// Weighted.
  let mean: Floats8
  /// By how much an error must be less to count: of scales that fit equally well all groups take
  /// the first, so that one scale of the block suits them all.
  let margin: Floats8

  init(
    values: UnsafePointer<Floats8>, weights: UnsafePointer<Floats8>, width: Int, top: Float,
    boundsOffsets: Bool
  ) {
    self.values = values
    self.weights = weights
    self.width = width
    self.top = top
    self.boundsOffsets = boundsOffsets
    let zero = Floats8(repeating: 0)
    var (sum, product, energy) = (zero, zero, zero)
    var (least, largest) = (values[0], values[0])
    for index in 0..<width {
      let (x, w) = (values[index], weights[index])
      least = smaller(x, least)
      largest = larger(x, largest)
      sum += w
      product += w * x
      energy += w * x * x
    }
    weightSum = sum
    mean = product / sum
    margin = energy * 1e-8
    self.least = boundsOffsets ? smaller(least, Floats8(repeating: 0)) : least
    self.largest = largest
  }

  /// Quantizes to codes with a scale and an offset, and fits both to the codes by least squares.
  @_transparent
  func fit(scale: Floats8, offset: Floats8) -> AffineFit {
    let zero = Floats8(repeating: 0)
    let limit = Floats8(repeating: top)
    let inverse = (1 / scale).zero(unless: scale .> 0)
    // Sums over codes c and quantization errors e = (x − offset) / scale − c.
    var (sumC, sumCC, sumE, sumEE, sumCE) = (zero, zero, zero, zero, zero)
    for index in 0..<width {
      let w = weights[index]
      let y = (values[index] - offset) * inverse
      let c = smaller(larger(y, zero), limit).rounded
      let e = y - c
      let (wc, we) = (w * c, w * e)
      sumC += wc
      sumCC += wc * c
      sumE += we
      sumEE += we * e
      sumCE += we * c
    }
    // e ≈ a·c + b leaves the least squares.
    let determinant = weightSum * sumCC - sumC * sumC
    let isRegular = determinant .> 0
    var a = ((weightSum * sumCE - sumC * sumE) / determinant).zero(unless: isRegular)
    var b = ((sumCC * sumE - sumC * sumCE) / determinant).zero(unless: isRegular)
    if boundsOffsets {
      // The offset cannot exceed 0, which is −offset / scale more than the present one.
      let room = (0 - offset) * inverse
      let isBound = b .> room
      let alone = ((sumCE - room * sumC) / sumCC).zero(unless: sumCC .> 0)
      a = a.replacing(with: alone, where: isBound)
      b = b.replacing(with: room, where: isBound)
    }
    // Σw(e − a·c − b)²
    let cross: Floats8 = a * sumCE + b * sumE
    let squares: Floats8 = a * (a * sumCC) + b * (b * weightSum)
    let residual: Floats8 = sumEE - 2 * (cross - a * (b * sumC)) + squares
    return AffineFit(
      scale: scale + a * scale, offset: offset + b * scale, error: residual * (scale * scale))
  }

  /// The best of a grid of scales, then improved by quantizing with what was fitted.
  ///
  /// - Parameters:
  ///   - first: what is added to `top` to get the first number that the range of values is divided
  ///     by.
  ///   - step: by how much more for each further one.
  ///   - steps: how many scales are tried.
  ///   - phases: offsets to try within a step of what was best; if there are any, the ends of the
  ///     range of values are tried too.
  ///   - sweeps: iterations of fitting after that.
  /// - Returns: the best of all.
  @_transparent
  func search(
    first: Float, step: Float, steps: Int, phases: Int, sweeps: Int
  ) -> AffineFit {
    var best = fit(scale: (largest - least) / top, offset: least)
    for index in 0..<steps {
      let divisor = top + (first + step * Float(index))
      let other = fit(scale: (largest - best.offset) / divisor, offset: best.offset)
      best.improve(with: other, margin: margin)
    }
    if phases > 0 {
      for half in 0..<(steps + 1) / 2 {
        // With the first code at the least value, and the last one at the largest.
        let scale = (largest - least) / (top + (first + step * Float(2 * half)))
        best.improve(with: fit(scale: scale, offset: least), margin: margin)
        best.improve(with: fit(scale: scale, offset: largest - scale * top), margin: margin)
      }
    }
    let center = best
    for index in 0..<phases {
      let shift = (Float(index) + 0.5) / Float(phases) - 0.5
      let other = fit(scale: center.scale, offset: center.offset + shift * center.scale)
      best.improve(with: other, margin: margin)
    }
    for _ in 0..<sweeps {
      best.improve(with: fit(scale: best.scale, offset: best.offset), margin: margin)
    }
    return best
  }

  /// What a scale and an offset leave: the weighted squares and the weighted sum of differences.
  @_transparent
  func differences(scale: Floats8, offset: Floats8) -> (squares: Floats8, sum: Floats8) {
    let zero = Floats8(repeating: 0)
    let limit = Floats8(repeating: top)
    let inverse = (1 / scale).zero(unless: scale .> 0)
    var (squares, sum) = (zero, zero)
    for index in 0..<width {
      let x = values[index] - offset
      let c = smaller(larger(x * inverse, zero), limit).rounded
      let r = x - c * scale
      let wr = weights[index] * r
      sum += wr
      squares += wr * r
    }
    return (squares, sum)
  }

  /// Sums over codes and differences, weighted.
  struct Moments {
    var c = Floats8(repeating: 0)
    var cc = Floats8(repeating: 0)
    var r = Floats8(repeating: 0)
    var cr = Floats8(repeating: 0)
  }

  @_transparent
  func moments(scale: Floats8, offset: Floats8) -> Moments {
    let zero = Floats8(repeating: 0)
    let limit = Floats8(repeating: top)
    let inverse = (1 / scale).zero(unless: scale .> 0)
    var moments = Moments()
    for index in 0..<width {
      let x = values[index] - offset
      let c = smaller(larger(x * inverse, zero), limit).rounded
      let r = x - c * scale
      let (wc, wr) = (weights[index] * c, weights[index] * r)
      moments.c += wc
      moments.cc += wc * c
      moments.r += wr
      moments.cr += wr * c
    }
    return moments
  }
}
