import BlockFormats
import KernelInterface

/// The types whose groups have a signed integer for a scale, times one of the block.
struct ScaledBlocks {
  /// Elements of a group.
  let width: Int
  let levels: Levels
  let grid: ScaleGrid
  /// The least number of a group; the largest is one less than its negative.
  let leastNumber: Float
  /// Iterations of fitting the block's scale.
  let blockSweeps: Int
  /// How many scales of the block are tried.
  let starts: Int
  /// How far from what is nearest each group's number is looked for.
  let reach: Int
}

/// What a block of groups stores: the scale of all, and each group's as an integer.
struct ScaledChoice {
  var d: Float = 0
  /// One or two vectors.
  var numbers = (Floats8(repeating: 0), Floats8(repeating: 0))
  var error: Float = .infinity
}

extension ScaledBlocks {
  /// Searches the scales of a loaded block.
  @inline(never)
  func search(_ block: SearchBlock) -> ScaledChoice {
    let first = groups(block, set: 0)
    let second = width == 16 ? groups(block, set: 1) : first
    let fits = (fit(first), width == 16 ? fit(second) : ScaledFit.none)
    var best = search(block, (first, second), fits, divisor: -leastNumber, isWide: false)
    for step in 1..<starts {
      let divisor = -leastNumber - 0.6 * Float(step)
      let other = search(
        block, (first, second), fits, divisor: divisor, isWide: false, bound: 1.01 * best.error)
      if other.error < best.error { best = other }
    }
    // Values of one sign use few levels, for which scales must be near.
    let isOneSided =
      smaller(first.least, second.least).least > 0
      || larger(first.largest, second.largest).largest < 0
    // Where quantizing the scales loses more than quantizing the values, look at all scales.
    let margin = width == 16 ? first.margin + second.margin : first.margin
    let floor = (fits.0.error + fits.1.error + 0.01 * margin).total
    if isOneSided || best.error > 1.5 * floor { widen(&best, block, (first, second), fits) }
    return best
  }

  /// Looks at all numbers of groups, with several scales of the block.
  @inline(never)
  private func widen(
    _ best: inout ScaledChoice, _ block: SearchBlock, _ groups: (ScaledGroups, ScaledGroups),
    _ fits: (ScaledFit, ScaledFit)
  ) {
    for step in 0..<4 {
      let divisor = -leastNumber - Float(step)
      let other = search(block, groups, fits, divisor: divisor, isWide: true)
      if other.error < best.error { best = other }
    }
  }

  /// Searches with the block's scale being the largest of a group divided by a number; not further
  /// if what comes out first exceeds a bound.
  @inline(never)
  private func search(
    _ block: SearchBlock, _ groups: (ScaledGroups, ScaledGroups), _ fits: (ScaledFit, ScaledFit),
    divisor: Float, isWide: Bool, bound: Float = .infinity
  ) -> ScaledChoice {
    let largest = larger(fits.0.scale, fits.1.scale).largest
    let least = smaller(fits.0.scale, fits.1.scale).least
    let size = block.storedAbove(max(largest, -least) / divisor)
    let scales = (fits.0.scale, fits.1.scale)
    // The scale of the largest magnitude gets the least number.
    var best = choose(groups, scales, d: largest > -least ? -size : size, isWide: isWide)
    if best.error > bound { return best }
    for _ in 0..<blockSweeps {
      let d = block.stored(refined(best, groups))
      let other = choose(groups, scales, d: d, isWide: isWide)
      if !(other.error < best.error) { break }
      best = other
    }
    return best
  }

  @_transparent
  private func groups(_ block: SearchBlock, set: Int) -> ScaledGroups {
    ScaledGroups(
      values: block.values + set &* width, weights: block.weights + set &* width, width: width,
      levels: levels)
  }

  @inline(never)
  func fit(_ groups: ScaledGroups) -> ScaledFit { groups.search(grid) }

  @_transparent
  private func choose(
    _ groups: (ScaledGroups, ScaledGroups), _ scales: (Floats8, Floats8), d: Float,
    isWide: Bool
  ) -> ScaledChoice {
    let first = choose(groups.0, scales.0, d: d, isWide: isWide)
    guard width == 16 else {
      return ScaledChoice(
        d: d, numbers: (first.numbers, Floats8(repeating: 0)), error: first.error)
    }
    let second = choose(groups.1, scales.1, d: d, isWide: isWide)
    return ScaledChoice(
      d: d, numbers: (first.numbers, second.numbers), error: first.error + second.error)
  }

  /// The integers for each group that leave the least error.
  @_transparent
  private func choose(
    _ groups: ScaledGroups, _ scale: Floats8, d: Float, isWide: Bool
  ) -> (numbers: Floats8, error: Float) {
    let best = numbers(groups, scale, d: Floats8(repeating: d), reach: isWide ? nil : reach)
    return (best.numbers, best.errors.total)
  }

  /// The integers for each group that leave the least error, where each lane has a block's scale of
  /// its own; all are tried where there is no reach.
  @inline(never)
  func numbers(
    _ groups: ScaledGroups, _ scale: Floats8, d: Floats8, reach: Int?
  ) -> (numbers: Floats8, errors: Floats8) {
    let bottom = Floats8(repeating: leastNumber)
    let limit = Floats8(repeating: -1 - leastNumber)
    let inverse = (1 / d).zero(unless: d .!= 0)
    let zero = Floats8(repeating: 0)
    var best = zero
    var error = Floats8(repeating: .infinity)
    let center = smaller(larger(scale * inverse, bottom), limit).rounded
    let start = reach == nil ? zero : center
    let distance = reach ?? Int(-leastNumber)
    for delta in -distance...distance {
      let moved = start + Floats8(repeating: Float(delta))
      let number = smaller(larger(moved, bottom), limit)
      let squares = groups.squares(number * d)
      let isLess = squares .< error
      best = best.replacing(with: number, where: isLess)
      error = error.replacing(with: squares, where: isLess)
    }
    return (best, error)
  }

  /// The block's scale that leaves the least squares with the levels and numbers chosen.
  @inline(never)
  private func refined(
    _ choice: ScaledChoice, _ groups: (ScaledGroups, ScaledGroups)
  ) -> Float {
    let first = groups.0.moments(choice.numbers.0 * choice.d)
    var squares = choice.numbers.0 * choice.numbers.0 * first.cc
    var rest = choice.numbers.0 * first.cr
    if width == 16 {
      let second = groups.1.moments(choice.numbers.1 * choice.d)
      squares += choice.numbers.1 * choice.numbers.1 * second.cc
      rest += choice.numbers.1 * second.cr
    }
    let sum = squares.total
    return sum > 0 ? choice.d + rest.total / sum : choice.d
  }
}

/// The k-quants without minimums, and IQ4_XS.
protocol ScaledRounding: CodedFormat {
  /// How scales are searched. Where errors count differently the best scale is harder to guess.
  static func search(isWeighted: Bool, isThorough: Bool) -> ScaledBlocks

  /// Writes a block: each group's number, the float16 scale, and 256 codes.
  static func pack(
    _ numbers: SIMD16<UInt8>, _ d: Float, _ codes: UnsafePointer<UInt8>,
    _ target: UnsafeMutableRawPointer)
}

extension ScaledRounding {
  static var hasRounding: Bool { true }

  static var panelLevels: Levels { search(isWeighted: true, isThorough: false).levels }

  static var panelScales: PanelScales {
    let least = search(isWeighted: true, isThorough: false).leastNumber
    return .shared(least: least, most: -least - 1, hasMinimums: false)
  }

  static func roundPanel(_ panel: PanelToRound) { roundScaledPanel(panel, as: Self.self) }

  static func packPanel(_ panel: PanelToRound) { packScaledPanel(panel, as: Self.self) }

  static func roundRows(_ rows: RowsToRound) {
    let isWeighted = rows.importance != nil
    let blocks = search(isWeighted: isWeighted, isThorough: false)
    let thorough = search(isWeighted: isWeighted, isThorough: true)
    let codes = rows.codes
    rows.forEachBlock(of: Self.self, width: blocks.width) { block, source, target in
      var choice = blocks.search(block)
      if rows.isThorough {
        let other = thorough.search(block)
        if other.error < choice.error { choice = other }
      }
      let numbers = bytes(choice.numbers.0, choice.numbers.1)
      for group in 0..<256 / blocks.width {
        let number = Float(Int8(bitPattern: numbers[group]))
        writeCodes(
          source + group &* blocks.width, count: blocks.width, factor: block.inverseUnit,
          scale: number * choice.d, levels: blocks.levels, into: codes + group &* blocks.width)
      }
      pack(numbers, choice.d * block.unit, codes, target)
    }
  }
}

extension ScaledFit {
  /// Stands for groups that are not there.
  @_transparent
  static var none: ScaledFit {
    ScaledFit(scale: Floats8(repeating: 0), error: Floats8(repeating: 0))
  }
}

/// Indices of a group's levels as bytes.
@_transparent
func writeCodes(
  _ source: UnsafePointer<Float>, count: Int, factor: Float, scale: Float, levels: Levels,
  into codes: UnsafeMutablePointer<UInt8>
) {
  switch levels {
  case .integers(let least, let top):
    writeCodes(
      source, count: count, factor: factor, scale: scale, offset: 0, least: least, top: top,
      into: codes)
  case .table:
    let inverse = scale == 0 ? 0 : 1 / scale
    for run in 0..<count / 8 {
      let index = 8 &* run
      let c = nearestLevels(source.lanes(index) * factor * inverse, asIndices: true)
      UnsafeMutableRawPointer(codes + index).storeBytes(of: c.bytes, as: SIMD8<UInt8>.self)
    }
  }
}
