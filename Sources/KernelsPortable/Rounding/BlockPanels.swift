// Types whose blocks of 32 have scales of their own, quantized with error feedback: the scale of a
// block is searched when its turn comes. The eight rows of a search are its groups.
import BlockFormats
import KernelInterface

/// Rounds some blocks of eight rows to a type whose scales are searched.
func roundSearchedPanel<Format: SearchedRounding>(
  _ arguments: PanelToRound, as format: Format.Type
) {
  let levels = Format.roundingLevels
  roundBlocks(arguments, levels: levels) { block -> AffineFit in
    if Format.hasMinimums {
      return searchAffine(block, top: levels.level(levels.count - 1), isThorough: false)
    }
    let fit = searchScales(block, levels: levels, isThorough: false)
    return AffineFit(scale: fit.scale, offset: Floats8(repeating: 0), error: fit.error)
  }
}

func packSearchedPanel<Format: SearchedRounding>(
  _ arguments: PanelToRound, as format: Format.Type
) {
  packBlocks(arguments, size: Format.bytesPerBlock) { codes, scale, offset, target in
    storeHalf(scale, target, at: 0)
    if Format.hasMinimums { storeHalf(offset, target, at: 2) }
    storeCodes(
      codes, fiveBits: Format.hasFifthBits, at: target + (Format.hasMinimums ? 4 : 2))
  }
}

extension Q8_0 {
  static var panelLevels: Levels { .integers(least: -127, top: 127) }

  static func roundPanel(_ panel: PanelToRound) {
    roundBlocks(panel, levels: panelLevels) { block in
      var peak = Floats8(repeating: 0)
      for index in 0..<32 { peak = larger(block.values[index].magnitudes, peak) }
      let zero = Floats8(repeating: 0)
      return AffineFit(
        scale: block.stored(peak / Floats8(repeating: 127), step: 0), offset: zero, error: zero)
    }
  }

  static func packPanel(_ panel: PanelToRound) {
    packBlocks(panel, size: bytesPerBlock) { codes, scale, _, target in
      storeHalf(scale, target, at: 0)
      for half in 0..<2 {
        target.storeBytes(
          of: codes.bytes16(16 &* half) &- 127, toByteOffset: 2 &+ 16 &* half,
          as: SIMD16<UInt8>.self)
      }
    }
  }
}

/// Rounds blocks of 32 columns, each with the scales that a search finds for it.
@_transparent
private func roundBlocks(
  _ arguments: PanelToRound, levels: Levels, search: (SearchBlock) -> AffineFit
) {
  var panel = Panel(arguments, width: 32)
  for group in 0..<panel.groupCount {
    panel.loadTargets(group, inverseUnit: Floats8(repeating: 1))
    let source = panel.copies
    for index in 0..<32 {
      for lane in 0..<8 { source[32 &* lane &+ index] = panel.targets[index][lane] }
    }
    let faults = clearFaultyBlocks(source)
    var block = SearchBlock(width: 32, scratch: arguments.scratch)
    _ = block.load(source)
    panel.loadWeights(group)
    panel.unit = Floats8(repeating: block.unit)
    panel.inverseUnit = Floats8(repeating: block.inverseUnit)
    var fit = search(block)
    for lane in 0..<8 where faults >> lane & 1 == 1 { fit.scale[lane] = .nan }
    panel.round(group, scale: fit.scale, offset: fit.offset, levels: levels)
    for lane in 0..<8 where faults >> lane & 1 == 1 {
      panel.clearErrors(32 &* group..<32 &* group &+ 32, lane)
    }
  }
}

@_transparent
private func packBlocks(
  _ arguments: PanelToRound, size: Int,
  write: (UnsafePointer<UInt8>, Float, Float, UnsafeMutableRawPointer) -> Void
) {
  let panel = Panel(arguments, width: 32)
  for group in 0..<panel.groupCount {
    let (scale, offset) = (panel.record(.scale, group), panel.record(.offset, group))
    let place = Int(arguments.groups[group]) &* size
    for lane in 0..<arguments.rows {
      panel.copyCodes(group, lane: lane, to: 0)
      write(
        panel.rowCodes, scale[lane], offset[lane],
        arguments.blocks + (arguments.rowBytes &* lane &+ place))
    }
  }
}
