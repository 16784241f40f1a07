// Types with super-blocks, quantized with error feedback. The scales of a super-block come from the
// search on what its values shall be when its turn comes; the integers of each group are searched
// anew when the group's turn comes.
import BlockFormats
import KernelInterface

/// What the super-blocks of eight rows have in common with those of a search.
private struct PanelRows {
  /// Scales in the rows' units.
  var d = Floats8(repeating: 0)
  var dmin = Floats8(repeating: 0)
  /// What each row needs.
  var isEmpty: (zero: UInt8, notFinite: UInt8) = (0, 0)

  /// `[2, 8, 16]`: the numbers of each row's groups.
  let numbers: UnsafeMutablePointer<UInt8>

  init(_ panel: PanelToRound) {
    numbers = (panel.scratch + 8192 + 2048).bindMemory(to: UInt8.self, capacity: 256)
    numbers.update(repeating: 0, count: 256)
  }

  @_transparent
  func store(_ values: Floats8, group: Int, half: Int) {
    let bytes = values.bytes
    for lane in 0..<8 { numbers[128 &* half &+ 16 &* lane &+ group] = bytes[lane] }
  }

  @_transparent
  func numbers(lane: Int, half: Int) -> SIMD16<UInt8> {
    UnsafePointer(numbers).bytes16(128 &* half &+ 16 &* lane)
  }

  /// Takes over what a search of a row found out.
  mutating func note(_ kind: SearchBlock.Kind, lane: Int) {
    switch kind {
    case .ordinary: break
    case .zero: isEmpty.zero |= 1 << UInt8(truncatingIfNeeded: lane)
    case .notFinite: isEmpty.notFinite |= 1 << UInt8(truncatingIfNeeded: lane)
    }
  }

  /// Writes a row's block if it needs no search.
  func writeIfEmpty<Format: CodedFormat>(
    _ format: Format.Type, lane: Int, _ panel: Panel, into target: UnsafeMutableRawPointer
  ) -> Bool {
    let bit: UInt8 = 1 << UInt8(truncatingIfNeeded: lane)
    if isEmpty.notFinite & bit != 0 {
      writeEmpty(format, scale: .nan, into: target)
      panel.clearErrors(lane)
      return true
    }
    if isEmpty.zero & bit != 0 {
      writeEmpty(format, scale: 0, into: target)
      return true
    }
    return false
  }
}

/// How far from the nearest a group's integers are looked for.
private let panelReach = 2

/// Rounds a super-block of eight rows to a type with minimums.
func roundAffinePanel<Format: AffineRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let blocks = Format.search(isWeighted: true, isThorough: false)
  var panel = Panel(arguments, width: blocks.width)
  var rows = PanelRows(arguments)
  panel.copyImportance()
  for lane in 0..<PanelToRound.lanes {
    panel.copyRow(lane)
    var block = SearchBlock(width: blocks.width, scratch: arguments.scratch)
    let kind = block.load(panel.copies)
    rows.note(kind, lane: lane)
    panel.unit[lane] = block.unit
    panel.inverseUnit[lane] = block.inverseUnit
    guard case .ordinary = kind else { continue }
    block.loadWeights(panel.copies + 256)
    let choice = blocks.search(block)
    (rows.d[lane], rows.dmin[lane]) = (choice.d, choice.dmin)
  }
  for group in 0..<panel.groupCount {
    panel.loadTargets(group, inverseUnit: panel.inverseUnit)
    panel.loadWeights(group)
    let groups = AffineGroups(
      values: panel.targets, weights: panel.weights, width: blocks.width, top: blocks.top,
      boundsOffsets: true)
    let best = blocks.numbers(
      groups, blocks.fit(groups), d: rows.d, dmin: rows.dmin, reach: panelReach)
    let place = Int(arguments.groups[group])
    rows.store(best.scales, group: place, half: 0)
    rows.store(best.minimums, group: place, half: 1)
    panel.round(
      group, scale: best.scales * rows.d, offset: 0 - best.minimums * rows.dmin,
      levels: .integers(least: 0, top: blocks.top), into: panel.codes + panel.place(of: group))
  }
  for lane in 0..<arguments.rows {
    let target = arguments.blocks + arguments.rowBytes &* lane
    if rows.writeIfEmpty(format, lane: lane, panel, into: target) { continue }
    Format.pack(
      AffineNumbers(
        scales: rows.numbers(lane: lane, half: 0), minimums: rows.numbers(lane: lane, half: 1)),
      rows.d[lane] * panel.unit[lane], rows.dmin[lane] * panel.unit[lane],
      panel.codes + 256 &* lane, target)
  }
}

/// Rounds a super-block of eight rows to a type without minimums.
func roundScaledPanel<Format: ScaledRounding>(_ arguments: PanelToRound, as format: Format.Type) {
  let blocks = Format.search(isWeighted: true, isThorough: false)
  var panel = Panel(arguments, width: blocks.width)
  var rows = PanelRows(arguments)
  panel.copyImportance()
  for lane in 0..<PanelToRound.lanes {
    panel.copyRow(lane)
    var block = SearchBlock(width: blocks.width, scratch: arguments.scratch)
    let kind = block.load(panel.copies)
    rows.note(kind, lane: lane)
    panel.unit[lane] = block.unit
    panel.inverseUnit[lane] = block.inverseUnit
    guard case .ordinary = kind else { continue }
    block.loadWeights(panel.copies + 256)
    rows.d[lane] = blocks.search(block).d
  }
  for group in 0..<panel.groupCount {
    panel.loadTargets(group, inverseUnit: panel.inverseUnit)
    panel.loadWeights(group)
    let groups = ScaledGroups(
      values: panel.targets, weights: panel.weights, width: blocks.width, levels: blocks.levels)
    let numbers = blocks.numbers(
      groups, blocks.fit(groups).scale, d: rows.d, reach: panelReach
    ).numbers
    rows.store(numbers, group: Int(arguments.groups[group]), half: 0)
    panel.round(
      group, scale: numbers * rows.d, offset: Floats8(repeating: 0), levels: blocks.levels,
      into: panel.codes + panel.place(of: group))
  }
  for lane in 0..<arguments.rows {
    let target = arguments.blocks + arguments.rowBytes &* lane
    if rows.writeIfEmpty(format, lane: lane, panel, into: target) { continue }
    Format.pack(
      rows.numbers(lane: lane, half: 0), rows.d[lane] * panel.unit[lane],
      panel.codes + 256 &* lane, target)
  }
}
