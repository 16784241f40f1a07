import BlockFormats
import KernelInterface

extension RowsToRound {
  /// Calls a function for each block of 256 elements that needs a search, with its values loaded
  /// and room for its bytes; the others are written.
  @_transparent
  func forEachBlock(
    width: Int, _ body: (SearchBlock, UnsafePointer<Float>, UnsafeMutableRawPointer) -> Void
  ) {
    var block = SearchBlock(width: width, scratch: scratch)
    let size = type.bytesPerBlock
    let blocksPerRow = columns / 256
    for column in 0..<blocksPerRow {
      if let importance {
        block.loadWeights(importance + 256 &* column)
      } else if column == 0 {
        block.loadWeights()
      }
      for row in 0..<self.rows {
        let source = values + (row &* columns &+ 256 &* column)
        let target = blocks + (row &* blocksPerRow &+ column) &* size
        switch block.load(source) {
        case .ordinary: body(block, source, target)
        case .zero: writeEmpty(type, scale: 0, into: target)
        case .notFinite: writeEmpty(type, scale: .nan, into: target)
        }
      }
    }
  }
}

/// A block of zeros but for its scale.
private func writeEmpty(
  _ type: ElementType, scale: Float, into target: UnsafeMutableRawPointer
) {
  target.initializeMemory(as: UInt8.self, repeating: 0, count: type.bytesPerBlock)
  switch type {
  case .q2_K: storeHalf(scale, target, at: 80)
  case .q3_K: storeHalf(scale, target, at: 108)
  case .q6_K: storeHalf(scale, target, at: 208)
  default: storeHalf(scale, target, at: 0)
  }
}

/// Rounds to the k-quants with minimums.
func roundToAffineBlocks(_ rows: RowsToRound) {
  let isWeighted = rows.importance != nil
  let blocks = AffineBlocks(rows.type, isWeighted: isWeighted, isThorough: false)
  let thorough = AffineBlocks(rows.type, isWeighted: isWeighted, isThorough: true)
  let codes = rows.codes
  rows.forEachBlock(width: blocks.width) { block, source, target in
    var choice = blocks.search(block)
    if rows.isThorough {
      let other = thorough.search(block)
      if other.error < choice.error { choice = other }
    }
    let numbers = AffineNumbers(choice)
    for group in 0..<256 / blocks.width {
      writeCodes(
        source + group &* blocks.width, count: blocks.width, factor: block.inverseUnit,
        scale: Float(numbers.scale(group)) * choice.d,
        offset: 0 - Float(numbers.minimum(group)) * choice.dmin, least: 0, top: blocks.top,
        into: codes + group &* blocks.width)
    }
    switch rows.type {
    case .q2_K: packQ2_K(numbers, choice, block, codes, target)
    case .q4_K: packQ4_K(numbers, choice, block, codes, target)
    default: packQ5_K(numbers, choice, block, codes, target)
    }
  }
}

extension AffineBlocks {
  /// How a type is searched. Where errors count differently the best offset is harder to guess.
  init(_ type: ElementType, isWeighted: Bool, isThorough: Bool) {
    let sweeps = isThorough ? 3 : 1
    let phases = isThorough || isWeighted ? 6 : 0
    let (starts, reach) = isThorough ? (8, 3) : (2, 1)
    switch type {
    case .q2_K:
      self.init(
        width: 16, top: 3, scaleTop: 15, first: -0.9, step: 0.1, steps: 19, phases: phases,
        sweeps: 2, blockSweeps: max(2, sweeps), starts: isThorough ? starts : 1, reach: reach,
        wideRatio: 2)
    case .q4_K:
      self.init(
        width: 32, top: 15, scaleTop: 63, first: -1, step: 0.1, steps: 21, phases: phases,
        sweeps: 2, blockSweeps: sweeps, starts: starts, reach: reach, wideRatio: 1.5)
    default:
      self.init(
        width: 32, top: 31, scaleTop: 63, first: -1, step: 0.1, steps: 21, phases: phases,
        sweeps: 2, blockSweeps: sweeps, starts: starts, reach: reach, wideRatio: 1.5)
    }
  }
}

/// The numbers of a choice, group by group.
struct AffineNumbers {
  private let scales: SIMD16<UInt8>
  private let minimums: SIMD16<UInt8>

  @_transparent
  init(_ choice: AffineChoice) {
    scales = bytes(choice.scales.0, choice.scales.1)
    minimums = bytes(choice.minimums.0, choice.minimums.1)
  }

  @_transparent
  func scale(_ group: Int) -> UInt8 { scales[group] }

  @_transparent
  func minimum(_ group: Int) -> UInt8 { minimums[group] }
}

/// Codes of a group from `least` to `top`, as bytes less `least`.
@_transparent
func writeCodes(
  _ source: UnsafePointer<Float>, count: Int, factor: Float, scale: Float, offset: Float,
  least: Float, top: Float, into codes: UnsafeMutablePointer<UInt8>
) {
  let inverse = scale == 0 ? 0 : 1 / scale
  let (bottom, limit) = (Floats8(repeating: least), Floats8(repeating: top))
  for run in 0..<count / 8 {
    let index = 8 &* run
    let x = source.lanes(index) * factor - offset
    let c = smaller(larger(x * inverse, bottom), limit).rounded - bottom
    UnsafeMutableRawPointer(codes + index).storeBytes(
      of: c.bytes, as: SIMD8<UInt8>.self)
  }
}
