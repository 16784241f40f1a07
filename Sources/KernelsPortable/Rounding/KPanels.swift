// Types with super-blocks, quantized with error feedback. The scales of a super-block come from the
// search on what its values shall be when its turn comes; the integers of each group are searched
// anew when the group's turn comes.
import BlockFormats
import KernelInterface

/// How far from the nearest a group's integers are looked for.
private let panelReach = 2

extension Panel {
  /// Calls a function for the super-block of each row that needs a search, with its values loaded.
  /// Others get a scale of 0 or NaN.
  @_transparent
  fileprivate mutating func searchRows(
    _ search: (SearchBlock) -> (d: Float, dmin: Float)
  ) -> (d: Floats8, dmin: Floats8) {
    var (d, dmin) = (Floats8(repeating: 0), Floats8(repeating: 0))
    copyImportance()
    for lane in 0..<PanelToRound.lanes {
      copyRow(lane)
      var block = SearchBlock(width: width, scratch: arguments.scratch)
      let kind = block.load(copies)
      unit[lane] = block.unit
      inverseUnit[lane] = block.inverseUnit
      switch kind {
      case .zero: break
      case .notFinite: d[lane] = .nan
      case .ordinary:
        block.loadWeights(copies + 256)
        (d[lane], dmin[lane]) = search(block)
      }
    }
    blockScales = (d * unit, dmin * unit)
    return (d, dmin)
  }

  /// Rows that are not finite leave no errors to others.
  fileprivate func finish(_ d: Floats8) {
    for lane in 0..<PanelToRound.lanes where d[lane].isNaN {
      clearErrors(0..<arguments.columns, lane)
    }
  }

  /// Calls a function for each row whose block is to be packed, with its codes in `rowCodes`; the
  /// others are written.
  @_transparent
  fileprivate func packRows<Format: CodedFormat>(
    as format: Format.Type, _ pack: (_ lane: Int, UnsafeMutableRawPointer) -> Void
  ) {
    for lane in 0..<arguments.rows {
      let target = arguments.blocks + arguments.rowBytes &* lane
      let d = blockScales.d[lane]
      guard !d.isNaN else {
        writeEmpty(format, scale: .nan, into: target)
        continue
      }
      for group in 0..<groupCount { copyCodes(group, lane: lane, to: place(of: group)) }
      pack(lane, target)
    }
  }
}

/// Rounds a super-block of eight rows to a type with minimums.
func roundAffinePanel<Format: AffineRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let blocks = Format.search(isWeighted: true, isThorough: false)
  var panel = Panel(arguments, width: blocks.width)
  let (d, dmin) = panel.searchRows { block in
    let choice = blocks.search(block)
    return (choice.d, choice.dmin)
  }
  for group in 0..<panel.groupCount {
    panel.loadTargets(group, inverseUnit: panel.inverseUnit)
    panel.loadWeights(group)
    let groups = AffineGroups(
      values: panel.targets, weights: panel.weights, width: blocks.width, top: blocks.top,
      boundsOffsets: true)
    let best = blocks.numbers(groups, blocks.fit(groups), d: d, dmin: dmin, reach: panelReach)
    panel.setRecord(.number, group, best.scales)
    panel.setRecord(.minimum, group, best.minimums)
    panel.round(
      group, scale: best.scales * d, offset: 0 - best.minimums * dmin,
      levels: .integers(least: 0, top: blocks.top))
  }
  panel.finish(d)
}

func packAffinePanel<Format: AffineRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let panel = Panel(arguments, width: Format.groupWidth)
  let scales = panel.blockScales
  panel.packRows(as: format) { lane, target in
    Format.pack(
      AffineNumbers(
        scales: panel.numbers(.number, lane: lane), minimums: panel.numbers(.minimum, lane: lane)),
      scales.d[lane], scales.dmin[lane], panel.rowCodes, target)
  }
}

/// Rounds a super-block of eight rows to a type without minimums.
func roundScaledPanel<Format: ScaledRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let blocks = Format.search(isWeighted: true, isThorough: false)
  var panel = Panel(arguments, width: blocks.width)
  let (d, _) = panel.searchRows { block in (blocks.search(block).d, 0) }
  for group in 0..<panel.groupCount {
    panel.loadTargets(group, inverseUnit: panel.inverseUnit)
    panel.loadWeights(group)
    let groups = ScaledGroups(
      values: panel.targets, weights: panel.weights, width: blocks.width, levels: blocks.levels)
    let numbers = blocks.numbers(groups, blocks.fit(groups).scale, d: d, reach: panelReach)
      .numbers
    panel.setRecord(.number, group, numbers)
    panel.round(
      group, scale: numbers * d, offset: Floats8(repeating: 0), levels: blocks.levels)
  }
  panel.finish(d)
}

func packScaledPanel<Format: ScaledRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let panel = Panel(arguments, width: Format.groupWidth)
  let scales = panel.blockScales
  panel.packRows(as: format) { lane, target in
    Format.pack(
      panel.numbers(.number, lane: lane), scales.d[lane], panel.rowCodes, target)
  }
}
