import BlockFormats
import KernelInterface

/// Formats of 32 elements with scales of their own, for which the best ones are searched.
protocol SearchedRounding: CodedFormat {
  /// What codes stand for: integers from 0 in formats with minimums.
  static var roundingLevels: Levels { get }
  /// Whether codes have fifth bits, which lie before the nibbles.
  static var hasFifthBits: Bool { get }
}

extension SearchedRounding {
  static var hasRounding: Bool { true }

  static var panelLevels: Levels { roundingLevels }

  static var panelScales: PanelScales { .own(hasOffset: hasMinimums) }

  static func roundPanel(_ panel: PanelToRound) { roundSearchedPanel(panel, as: Self.self) }

  static func packPanel(_ panel: PanelToRound) { packSearchedPanel(panel, as: Self.self) }

  static func roundRows(_ rows: RowsToRound) { roundToSearchedBlocks(rows, as: Self.self) }
}

extension IQ4_NL: SearchedRounding {
  static let hasFifthBits = false
  @_transparent
  static var roundingLevels: Levels { .table }
}

/// Quantizes to blocks of 32 with scales of their own, eight blocks of a row at once.
///
/// Each block is searched as a group of the others are, in a unit that the eight share.
func roundToSearchedBlocks<Format: SearchedRounding>(_ rows: RowsToRound, as format: Format.Type) {
  var block = SearchBlock(width: 32, scratch: rows.scratch)
  let source = rows.copies
  let importance = source + 256
  let perRow = rows.columns / 32
  block.loadWeights()
  for chunk in 0..<(perRow + 7) / 8 {
    let first = 8 &* chunk
    let count = min(8, perRow &- first)
    if let weights = rows.importance {
      importance.update(repeating: 0, count: 256)
      importance.update(from: weights + 32 &* first, count: 32 &* count)
      block.loadWeightsByGroup(importance)
    }
    for row in 0..<rows.rows {
      source.update(repeating: 0, count: 256)
      source.update(from: rows.values + (row &* rows.columns &+ 32 &* first), count: 32 &* count)
      let faults = clearFaultyBlocks(source)
      let target = rows.blocks + (row &* perRow &+ first) &* Format.bytesPerBlock
      _ = block.load(source)
      if Format.hasMinimums {
        roundAffine(block, source, count, rows, as: format, target)
      } else {
        roundScaled(block, source, count, rows, as: format, target)
      }
      for index in 0..<count where faults >> index & 1 == 1 {
        storeHalf(.nan, target + index &* Format.bytesPerBlock, at: 0)
      }
    }
  }
}

/// Makes zeros of blocks in which not all values are finite, and returns which ones as bits.
func clearFaultyBlocks(_ values: UnsafeMutablePointer<Float>) -> Int {
  var faults = 0
  for index in 0..<8 {
    let first = values + 32 &* index
    var zeros = Floats8(repeating: 0)
    for part in 0..<4 {
      zeros += UnsafePointer(first).lanes(8 &* part) * Floats8(repeating: 0)
    }
    if zeros.total == 0 { continue }
    faults |= 1 << index
    first.update(repeating: 0, count: 32)
  }
  return faults
}

@inline(never)
private func roundAffine<Format: SearchedRounding>(
  _ block: SearchBlock, _ source: UnsafePointer<Float>, _ count: Int, _ rows: RowsToRound,
  as format: Format.Type, _ target: UnsafeMutableRawPointer
) {
  let size = Format.bytesPerBlock
  let codes = rows.codes
  let top = Format.roundingLevels.level(Format.roundingLevels.count - 1)
  var fit = searchAffine(block, top: top, isThorough: false)
  if rows.isThorough {
    let other = searchAffine(block, top: top, isThorough: true)
    fit.improve(with: other, margin: Floats8(repeating: 0))
  }
  for index in 0..<count {
    writeCodes(
      source + 32 &* index, count: 32, factor: block.inverseUnit, scale: fit.scale[index],
      offset: fit.offset[index], least: 0, top: top, into: codes)
    storeHalf(fit.scale[index] * block.unit, target + size &* index, at: 0)
    storeHalf(fit.offset[index] * block.unit, target + size &* index, at: 2)
    storeCodes(codes, fiveBits: Format.hasFifthBits, at: target + (size &* index &+ 4))
  }
}

@inline(never)
private func roundScaled<Format: SearchedRounding>(
  _ block: SearchBlock, _ source: UnsafePointer<Float>, _ count: Int, _ rows: RowsToRound,
  as format: Format.Type, _ target: UnsafeMutableRawPointer
) {
  let size = Format.bytesPerBlock
  let codes = rows.codes
  let levels = Format.roundingLevels
  var fit = searchScales(block, levels: levels, isThorough: false)
  if rows.isThorough {
    let other = searchScales(block, levels: levels, isThorough: true)
    fit.improve(with: other, margin: Floats8(repeating: 0))
  }
  for index in 0..<count {
    writeCodes(
      source + 32 &* index, count: 32, factor: block.inverseUnit, scale: fit.scale[index],
      levels: levels, into: codes)
    storeHalf(fit.scale[index] * block.unit, target + size &* index, at: 0)
    storeCodes(codes, fiveBits: Format.hasFifthBits, at: target + (size &* index &+ 2))
  }
}

extension Levels {
  var count: Int {
    switch self {
    case .integers(let least, let top): Int(top - least) + 1
    case .table: 16
    }
  }

  func level(_ index: Int) -> Float {
    switch self {
    case .integers(let least, _): least + Float(index)
    case .table: Float(IQ4_NL.levels[index])
    }
  }

  /// Scales to try for a block.
  fileprivate func grid(isThorough: Bool) -> ScaleGrid {
    let density = isThorough ? 3 : 1
    let fine = 1 / Float(density)
    switch self {
    case .table:
      return ScaleGrid(
        start: -127, first: -149, step: 4 * fine, steps: 8 * density, mirroredFirst: 89,
        mirroredStep: 4 * fine, mirroredSteps: 12 * density, sweeps: 2)
    case .integers(let least, _):
      return ScaleGrid(
        start: least, first: least - 1, step: 0.1 * fine, steps: 21 * density,
        mirroredFirst: -least - 1.5, mirroredStep: 0.2 * fine, mirroredSteps: 8 * density,
        sweeps: 2)
    }
  }
}

/// The scale of each block, as it is stored.
func searchScales(_ block: SearchBlock, levels: Levels, isThorough: Bool) -> ScaledFit {
  let groups = ScaledGroups(
    values: block.values, weights: block.weights, width: 32, levels: levels)
  let none = Floats8(repeating: 0)
  let fit = groups.search(levels.grid(isThorough: isThorough))
  // Where scales are so small that binary16 has few of them, the nearest need not be the best.
  var best = groups.storedFit(fit.scale, in: block, step: 0)
  for step in -1...1 where step != 0 {
    best.improve(with: groups.storedFit(fit.scale, in: block, step: step), margin: none)
  }
  // Where quantizing the scale loses more than quantizing the values, as in constant blocks, let
  // each level stand for the largest value.
  let limit = 1.5 * (fit.error + 0.01 * groups.margin)
  if best.error.zero(unless: best.error .> limit).total > 0 {
    for index in 0..<levels.count where levels.level(index) != 0 {
      let scale = groups.fit(groups.extreme / levels.level(index)).scale
      best.improve(with: groups.storedFit(scale, in: block, step: 0), margin: none)
    }
  }
  return best
}

extension ScaledGroups {
  /// What a scale leaves as it is stored, or a neighbor of that.
  fileprivate func storedFit(_ scale: Floats8, in block: SearchBlock, step: Int) -> ScaledFit {
    let stored = block.stored(scale, step: step)
    return ScaledFit(scale: stored, error: squares(stored))
  }
}

/// The scale and the minimum of each block, as they are stored.
func searchAffine(_ block: SearchBlock, top: Float, isThorough: Bool) -> AffineFit {
  let groups = AffineGroups(
    values: block.values, weights: block.weights, width: 32, top: top, boundsOffsets: false)
  let density = isThorough ? 3 : 1
  let fit = groups.search(
    first: -1.5, step: 0.15 / Float(density), steps: 17 * density, phases: 6 * density,
    sweeps: 3)
  let zero = Floats8(repeating: 0)
  var best = AffineFit(
    scale: zero, offset: zero, error: Floats8(repeating: .infinity))
  for step in -1...1 {
    let scale = larger(block.stored(fit.scale, step: step), zero)
    for offsetStep in -1...1 {
      let offset = block.stored(fit.offset, step: offsetStep)
      let squares = groups.differences(scale: scale, offset: offset).squares
      best.improve(
        with: AffineFit(scale: scale, offset: offset, error: squares), margin: zero)
    }
  }
  return best
}

/// Writes the fifth bits of 32 codes, if there are any, and the nibbles.
@_transparent
func storeCodes(
  _ codes: UnsafePointer<UInt8>, fiveBits: Bool, at block: UnsafeMutableRawPointer
) {
  let (low, high) = (codes.bytes16(0), codes.bytes16(16))
  if fiveBits { storeBits(low &>> 4, high &>> 4, block, at: 0) }
  block.storeBytes(
    of: low & 15 | high &<< 4, toByteOffset: fiveBits ? 4 : 0, as: SIMD16<UInt8>.self)
}
