// Descent over the scales of a panel, with the codes that it has: scales and minimums of groups,
// and those of super-blocks. Each step takes the change that lets the rows' whole error become
// least among values that can be stored, and none where that would not be less.
import KernelInterface

/// How the groups of a panel store what their codes are multiplied by.
enum PanelScales {
  /// As binary16 of their own: a scale and, in types with minimums, an offset.
  case own(hasOffset: Bool)
  /// As integers from `least` to `most`, which the super-block's scale multiplies; in types with
  /// minimums those are such integers too, times the super-block's second scale.
  case shared(least: Float, most: Float, hasMinimums: Bool)
}

/// What two changes of the values q of some columns, x a + z b, would do to the error of rows: add
/// x² aHa + 2xz aHb + z² bHb − 2x ag − 2z bg, where g = e H.
private struct ChangeForm {
  var aa = Floats8(repeating: 0)
  var ab = Floats8(repeating: 0)
  var bb = Floats8(repeating: 0)
  var ag = Floats8(repeating: 0)
  var bg = Floats8(repeating: 0)

  /// The x of the least form over x and z, or over x alone where a and b are nearly one direction.
  var bestFirst: Floats8 {
    let determinant = aa * bb - ab * ab
    let both = (ag * bb - bg * ab) / determinant
    let one = (ag / aa).zero(unless: aa .> 0)
    return one.replacing(with: both, where: determinant .> 1e-4 * (aa * bb))
  }

  /// The z of the least form for an x.
  func bestSecond(_ x: Floats8) -> Floats8 {
    ((bg - x * ab) / bb).zero(unless: bb .> 0)
  }

  /// By how much the error becomes less, with a margin for how these sums are rounded; NaN where
  /// anything is not finite.
  func gain(_ x: Floats8, _ z: Floats8) -> Floats8 {
    let cost = (x * x * aa + 2 * (x * z * ab)) + z * z * bb
    return 2 * (x * ag + z * bg) - 1.0001 * cost
  }
}

extension Panel {
  /// What scales multiply: `[columns]` vectors a, and b as many later.
  private var directions: UnsafeMutablePointer<Floats8> {
    (arguments.scratch + PanelToRound.searchBytes)
      .bindMemory(to: Floats8.self, capacity: 2 * PanelToRound.maximumColumns)
  }

  /// Lets all scales of the panel descend once.
  @inline(never)
  func descendScales(_ scales: PanelScales, levels: Levels) {
    let grid = PanelLevels(levels)
    for column in 0..<arguments.columns {
      directions[column] = grid.level(arguments.codes + 8 &* column)
      directions[PanelToRound.maximumColumns &+ column] = Floats8(repeating: 1)
    }
    switch scales {
    case .own(let hasOffset):
      for group in 0..<groupCount { descendOwnScale(group, hasOffset: hasOffset) }
    case .shared(let least, let most, let hasMinimums):
      for group in 0..<groupCount {
        descendNumbers(group, least...most, hasMinimums: hasMinimums)
      }
      descendBlockScales(hasMinimums: hasMinimums)
    }
  }

  /// A group's scale and offset: q changes by x · level + z.
  private func descendOwnScale(_ group: Int, hasOffset: Bool) {
    let columns = width &* group..<width &* group &+ width
    let form = form(columns, isPair: hasOffset)
    let (scale, offset) = (record(.scale, group), record(.offset, group))
    let zero = Floats8(repeating: 0)
    let x = stored(scale + form.bestFirst) - scale
    let z = hasOffset ? stored(offset + form.bestSecond(x)) - offset : zero
    let isLess = form.gain(x, z) .> 0
    setRecord(.scale, group, scale.replacing(with: scale + x, where: isLess))
    setRecord(.offset, group, offset.replacing(with: offset + z, where: isLess))
    move(columns, zero.replacing(with: x, where: isLess), zero.replacing(with: z, where: isLess))
  }

  /// A group's integers: q changes by d x · level − dmin z.
  private func descendNumbers(
    _ group: Int, _ range: ClosedRange<Float>, hasMinimums: Bool
  ) {
    let columns = width &* group..<width &* group &+ width
    let form = form(columns, isPair: hasMinimums)
    let (d, dmin) = blockScales
    let zero = Floats8(repeating: 0)
    let inverse = (1 / d).zero(unless: d .!= 0)
    let inverseMinimum = (1 / dmin).zero(unless: dmin .!= 0)
    let (number, minimum) = (record(.number, group), record(.minimum, group))
    let (bottom, top) = (
      Floats8(repeating: range.lowerBound), Floats8(repeating: range.upperBound)
    )
    let middle = smaller(larger(number + form.bestFirst * inverse, bottom), top).rounded
    var (bestNumber, bestMinimum, best) = (number, minimum, zero)
    for delta in hasMinimums ? -1...1 : 0...0 {
      let moved = smaller(larger(middle + Floats8(repeating: Float(delta)), bottom), top)
      let x = (moved - number) * d
      var least = minimum
      if hasMinimums {
        least = minimum - form.bestSecond(x) * inverseMinimum
        least = smaller(larger(least, zero), top).rounded
      }
      let gain = form.gain(x, (minimum - least) * dmin)
      let isBetter = gain .> best
      best = best.replacing(with: gain, where: isBetter)
      bestNumber = bestNumber.replacing(with: moved, where: isBetter)
      bestMinimum = bestMinimum.replacing(with: least, where: isBetter)
    }
    let isLess = best .> 0
    let x = zero.replacing(with: (bestNumber - number) * d, where: isLess)
    let z = zero.replacing(with: (minimum - bestMinimum) * dmin, where: isLess)
    setRecord(.number, group, bestNumber)
    setRecord(.minimum, group, bestMinimum)
    setScale(group)
    move(columns, x, z)
  }

  /// The super-block's scales: q changes by x · number · level − z · minimum.
  private func descendBlockScales(hasMinimums: Bool) {
    let columns = 0..<arguments.columns
    for column in columns {
      let group = column / width
      directions[column] *= record(.number, group)
      directions[PanelToRound.maximumColumns &+ column] = 0 - record(.minimum, group)
    }
    let form = form(columns, isPair: hasMinimums)
    let (d, dmin) = blockScales
    let zero = Floats8(repeating: 0)
    var wanted = stored(d + form.bestFirst)
    // Readers take scales of types with minimums as positive.
    if hasMinimums { wanted = larger(wanted, zero) }
    let x = wanted - d
    let z = hasMinimums ? larger(stored(dmin + form.bestSecond(x)), zero) - dmin : zero
    let isLess = form.gain(x, z) .> 0
    blockScales = (
      d.replacing(with: d + x, where: isLess), dmin.replacing(with: dmin + z, where: isLess)
    )
    for group in 0..<groupCount { setScale(group) }
    move(columns, zero.replacing(with: x, where: isLess), zero.replacing(with: z, where: isLess))
  }

  /// A group's scale and offset as its integers say.
  private func setScale(_ group: Int) {
    let (d, dmin) = blockScales
    setRecord(.scale, group, record(.number, group) * d)
    setRecord(.offset, group, 0 - record(.minimum, group) * dmin)
  }

  /// The form of both directions of some columns, or of the first alone.
  private func form(_ columns: Range<Int>, isPair: Bool) -> ChangeForm {
    var form = ChangeForm()
    let second = directions + PanelToRound.maximumColumns
    for column in columns {
      let row = arguments.matrix + arguments.matrixStride &* column
      var (first, other) = (Floats8(repeating: 0), Floats8(repeating: 0))
      if isPair {
        for index in columns {
          first += directions[index] * row[index]
          other += second[index] * row[index]
        }
        form.ab += second[column] * first
        form.bb += second[column] * other
        form.bg += second[column] * vector(arguments.pull, column)
      } else {
        for index in columns { first += directions[index] * row[index] }
      }
      form.aa += directions[column] * first
      form.ag += directions[column] * vector(arguments.pull, column)
    }
    return form
  }

  /// Adds x a + z b to the values of some columns.
  private func move(_ columns: Range<Int>, _ x: Floats8, _ z: Floats8) {
    let zero = Floats8(repeating: 0)
    guard x.magnitudes.largest > 0 || z.magnitudes.largest > 0 else { return }
    for column in columns {
      let change =
        (x * directions[column]).zero(unless: x .!= zero)
        + (z * directions[PanelToRound.maximumColumns &+ column]).zero(unless: z .!= zero)
      store(vector(arguments.errors, column) + change, arguments.errors, column)
      let row = arguments.matrix + arguments.matrixStride &* column
      for other in 0..<arguments.columns {
        store(vector(arguments.pull, other) - change * row[other], arguments.pull, other)
      }
    }
  }

  /// The nearest binary16 of each lane, never infinite.
  private func stored(_ values: Floats8) -> Floats8 {
    var result = Floats8(repeating: 0)
    for lane in 0..<PanelToRound.lanes {
      result[lane] = Float16Bits.float(float16Bits(inHalfRange(values[lane])))
    }
    return result
  }
}
