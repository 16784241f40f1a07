import BlockFormats
import KernelInterface

extension RowsToRound {
  /// Calls a function for each block of 256 elements that needs a search, with its values loaded
  /// and room for its bytes; the others are written.
  @_transparent
  func forEachBlock(
    of format: (some CodedFormat).Type, width: Int,
    _ body: (SearchBlock, UnsafePointer<Float>, UnsafeMutableRawPointer) -> Void
  ) {
    var block = SearchBlock(width: width, scratch: scratch)
    let size = format.bytesPerBlock
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
        case .zero: writeEmpty(format, scale: 0, into: target)
        case .notFinite: writeEmpty(format, scale: .nan, into: target)
        }
      }
    }
  }
}

/// A block of zeros but for its scale.
@inline(never)
func writeEmpty<Format: CodedFormat>(
  _ format: Format.Type, scale: Float, into target: UnsafeMutableRawPointer
) {
  target.initializeMemory(as: UInt8.self, repeating: 0, count: Format.bytesPerBlock)
  storeHalf(scale, target, at: Format.scaleOffset ?? 0)
}

/// The k-quants with minimums.
protocol AffineRounding: CodedFormat {
  /// How scales are searched. Where errors count differently the best offset is harder to guess.
  static func search(isWeighted: Bool, isThorough: Bool) -> AffineBlocks

  /// Writes a block: its groups' numbers, its float16 scales, and 256 codes.
  static func pack(
    _ numbers: AffineNumbers, _ d: Float, _ dmin: Float, _ codes: UnsafePointer<UInt8>,
    _ target: UnsafeMutableRawPointer)
}

extension AffineRounding {
  static var hasRounding: Bool { true }

  static var panelLevels: Levels {
    .integers(least: 0, top: search(isWeighted: true, isThorough: false).top)
  }

  static var panelScales: PanelScales {
    let most = search(isWeighted: true, isThorough: false).scaleTop
    return .shared(least: 0, most: most, hasMinimums: true)
  }

  static func roundPanel(_ panel: PanelToRound) { roundAffinePanel(panel, as: Self.self) }

  static func packPanel(_ panel: PanelToRound) { packAffinePanel(panel, as: Self.self) }

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
      let numbers = AffineNumbers(choice)
      for group in 0..<256 / blocks.width {
        writeCodes(
          source + group &* blocks.width, count: blocks.width, factor: block.inverseUnit,
          scale: Float(numbers.scale(group)) * choice.d,
          offset: 0 - Float(numbers.minimum(group)) * choice.dmin, least: 0, top: blocks.top,
          into: codes + group &* blocks.width)
      }
      pack(numbers, choice.d * block.unit, choice.dmin * block.unit, codes, target)
    }
  }
}

/// The numbers of a choice, group by group.
struct AffineNumbers {
  private let scales: SIMD16<UInt8>
  private let minimums: SIMD16<UInt8>

  @_transparent
  init(scales: SIMD16<UInt8>, minimums: SIMD16<UInt8>) {
    self.scales = scales
    self.minimums = minimums
  }

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
