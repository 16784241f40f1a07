import KernelInterface

/// The k-quants with minimums: value = d · scale · code − dmin · minimum.
struct AffineBlocks {
  /// Elements of a group.
  let width: Int
  /// The largest code.
  let top: Float
  /// The largest scale and minimum.
  let scaleTop: Float
  /// The grid of `AffineGroups.search`, and iterations of fitting after it.
  let first: Float, step: Float, steps: Int, phases: Int, sweeps: Int
  /// Iterations of fitting the block's two scales.
  let blockSweeps: Int
  /// How many scales of the block are tried.
  let starts: Int
  /// How far from what is nearest each group's scale is looked for.
  let reach: Int
  /// How much more than the groups' own errors calls for a wide search.
  let wideRatio: Float
}

/// What a block of groups stores: the scales of all and of each group, as integers.
struct AffineChoice {
  var d: Float = 0
  var dmin: Float = 0
  /// One or two vectors.
  var scales = (Floats8(repeating: 0), Floats8(repeating: 0))
  var minimums = (Floats8(repeating: 0), Floats8(repeating: 0))
  var error: Float = .infinity
}

extension AffineBlocks {
  /// Searches the scales of a loaded block.
  @inline(never)
  func search(_ block: SearchBlock) -> AffineChoice {
    let first = groups(block, set: 0)
    let second = width == 16 ? groups(block, set: 1) : first
    let fits = (fit(first), width == 16 ? fit(second) : AffineFit.none)
    var best = search(block, (first, second), fits, divisor: scaleTop, isWide: false)
    for step in 1..<starts {
      let divisor = scaleTop - 0.6 * Float(step)
      let other = search(
        block, (first, second), fits, divisor: divisor, isWide: false, bound: 1.02 * best.error)
      if other.error < best.error { best = other }
    }
    // Where quantizing the scales loses more than quantizing the values, look at all scales.
    let margin = width == 16 ? first.margin + second.margin : first.margin
    let floor = (fits.0.error + fits.1.error + 0.01 * margin).total
    if best.error > wideRatio * floor { widen(&best, block, (first, second), fits) }
    return best
  }

  /// Looks at all scales of groups, with several of the block.
  @inline(never)
  private func widen(
    _ best: inout AffineChoice, _ block: SearchBlock, _ groups: (AffineGroups, AffineGroups),
    _ fits: (AffineFit, AffineFit)
  ) {
    for step in 0..<8 {
      let divisor = scaleTop - Float(step)
      let other = search(block, groups, fits, divisor: divisor, isWide: true)
      if other.error < best.error { best = other }
    }
    // What is nearest to each of both scales need not be the best pair.
    let center = (best.d, best.dmin)
    for step in 0..<25 where step != 12 {
      let other = choose(
        groups, fits, d: block.neighbor(of: center.0, step / 5 - 2),
        dmin: block.neighbor(of: center.1, step % 5 - 2), isWide: true)
      if other.error < best.error { best = other }
    }
  }

  /// Searches with the block's scales being the largest of a group divided by a number; not further
  /// if what comes out first exceeds a bound.
  @inline(never)
  private func search(
    _ block: SearchBlock, _ groups: (AffineGroups, AffineGroups), _ fits: (AffineFit, AffineFit),
    divisor: Float, isWide: Bool, bound: Float = .infinity
  ) -> AffineChoice {
    let d = block.storedAbove(larger(fits.0.scale, fits.1.scale).largest / divisor)
    let dmin = block.storedAbove(-smaller(fits.0.offset, fits.1.offset).least / divisor)
    var best = choose(groups, fits, d: d, dmin: dmin, isWide: isWide)
    if best.error > bound { return best }
    for _ in 0..<blockSweeps {
      let (d, dmin) = refined(best, groups)
      let other = choose(
        groups, fits, d: block.stored(d), dmin: block.stored(dmin), isWide: isWide)
      if !(other.error < best.error) { break }
      best = other
    }
    return best
  }

  @_transparent
  private func groups(_ block: SearchBlock, set: Int) -> AffineGroups {
    AffineGroups(
      values: block.values + set &* width, weights: block.weights + set &* width, width: width,
      top: top, boundsOffsets: true)
  }

  @inline(never)
  func fit(_ groups: AffineGroups) -> AffineFit {
    groups.search(first: first, step: step, steps: steps, phases: phases, sweeps: sweeps)
  }

  @_transparent
  private func choose(
    _ groups: (AffineGroups, AffineGroups), _ fits: (AffineFit, AffineFit), d: Float, dmin: Float,
    isWide: Bool
  ) -> AffineChoice {
    var choice = AffineChoice(d: d, dmin: dmin)
    let first = choose(groups.0, fits.0, d: d, dmin: dmin, isWide: isWide)
    (choice.scales.0, choice.minimums.0) = (first.scales, first.minimums)
    choice.error = first.error
    if width == 16 {
      let second = choose(groups.1, fits.1, d: d, dmin: dmin, isWide: isWide)
      (choice.scales.1, choice.minimums.1) = (second.scales, second.minimums)
      choice.error += second.error
    }
    return choice
  }

  /// The integers for each group's scale and minimum that leave the least error.
  @_transparent
  private func choose(
    _ groups: AffineGroups, _ fit: AffineFit, d: Float, dmin: Float, isWide: Bool
  ) -> (scales: Floats8, minimums: Floats8, error: Float) {
    let best = numbers(
      groups, fit, d: Floats8(repeating: d), dmin: Floats8(repeating: dmin),
      reach: isWide ? nil : reach)
    return (best.scales, best.minimums, best.errors.total)
  }

  /// The integers for each group's scale and minimum that leave the least error, where each lane
  /// has a block's scales of its own; all scales are tried where there is no reach.
  @inline(never)
  func numbers(
    _ groups: AffineGroups, _ fit: AffineFit, d: Floats8, dmin: Floats8, reach: Int?
  ) -> (scales: Floats8, minimums: Floats8, errors: Floats8) {
    let zero = Floats8(repeating: 0)
    let limit = Floats8(repeating: scaleTop)
    let inverse = (1 / d).zero(unless: d .> 0)
    let inverseMinimum = (1 / dmin).zero(unless: dmin .> 0)
    let middle = ((groups.mean - fit.offset) / fit.scale).zero(unless: fit.scale .> 0)
    var (bestScale, bestMinimum) = (zero, zero)
    var bestError = Floats8(repeating: .infinity)
    let center = smaller(fit.scale * inverse, limit).rounded
    let start = reach == nil ? zero : center
    for delta in reach.map({ -$0...$0 }) ?? 0...Int(scaleTop) {
      let moved = start + Floats8(repeating: Float(delta))
      let number = smaller(larger(moved, zero), limit)
      let scale = number * d
      // The mean value keeps its code.
      let offset = groups.mean - scale * middle
      var minimum = smaller(larger((0 - offset) * inverseMinimum, zero), limit).rounded
      for _ in 0..<2 {
        let left = groups.differences(scale: scale, offset: 0 - minimum * dmin)
        let isLess = left.squares .< bestError
        bestScale = bestScale.replacing(with: number, where: isLess)
        bestMinimum = bestMinimum.replacing(with: minimum, where: isLess)
        bestError = bestError.replacing(with: left.squares, where: isLess)
        let moved = minimum - left.sum / groups.weightSum * inverseMinimum
        minimum = smaller(larger(moved, zero), limit).rounded
      }
    }
    return (bestScale, bestMinimum, bestError)
  }

  /// The block's two scales that leave the least squares with the codes and numbers chosen.
  @inline(never)
  private func refined(
    _ choice: AffineChoice, _ groups: (AffineGroups, AffineGroups)
  ) -> (d: Float, dmin: Float) {
    var sums = Sums()
    sums.add(groups.0, choice.scales.0, choice.minimums.0, choice)
    if width == 16 { sums.add(groups.1, choice.scales.1, choice.minimums.1, choice) }
    let (a, b, c) = (sums.scaleScale.total, sums.scaleMinimum.total, sums.minimumMinimum.total)
    let (p, q) = (sums.scaleRest.total, sums.minimumRest.total)
    let determinant = a * c - b * b
    if determinant > 1e-6 * a * c {
      return (
        max(0, choice.d + (p * c - b * q) / determinant),
        max(0, choice.dmin + (b * p - a * q) / determinant)
      )
    }
    // One of them has nothing to do, or both the same.
    if a > 0 { return (max(0, choice.d + p / a), choice.dmin) }
    return (choice.d, c > 0 ? max(0, choice.dmin - q / c) : choice.dmin)
  }

  /// Sums of the equations for both scales' changes.
  private struct Sums {
    var scaleScale = Floats8(repeating: 0)
    var scaleMinimum = Floats8(repeating: 0)
    var minimumMinimum = Floats8(repeating: 0)
    var scaleRest = Floats8(repeating: 0)
    var minimumRest = Floats8(repeating: 0)

    @_transparent
    mutating func add(
      _ groups: AffineGroups, _ scales: Floats8, _ minimums: Floats8, _ choice: AffineChoice
    ) {
      let moments = groups.moments(
        scale: scales * choice.d, offset: 0 - minimums * choice.dmin)
      scaleScale += scales * scales * moments.cc
      scaleMinimum += scales * minimums * moments.c
      minimumMinimum += minimums * minimums * groups.weightSum
      scaleRest += scales * moments.cr
      minimumRest += minimums * moments.r
    }
  }
}

extension AffineFit {
  /// Stands for groups that are not there.
  @_transparent
  static var none: AffineFit {
    let zero = Floats8(repeating: 0)
    return AffineFit(scale: zero, offset: zero, error: zero)
  }
}
