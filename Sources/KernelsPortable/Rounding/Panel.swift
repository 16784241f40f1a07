import BlockFormats
import KernelInterface

/// A panel while its groups are rounded one after the other. A lane is a row.
struct Panel {
  let arguments: PanelToRound
  /// Elements of a group.
  let width: Int
  /// `[32]`: what the group's codes shall stand for, in the rows' units.
  let targets: UnsafeMutablePointer<Floats8>
  /// `[32]`: how much errors in the group's columns count; a mean of 1.
  let weights: UnsafeMutablePointer<Floats8>
  /// `[8, 256]`: codes of each row, in the order of its blocks.
  let codes: UnsafeMutablePointer<UInt8>
  /// What turns numbers in a row's unit into the source's, and back.
  var unit = Floats8(repeating: 1)
  var inverseUnit = Floats8(repeating: 1)

  /// Begins with a search's memory: the groups of a row are searched there before.
  init(_ arguments: PanelToRound, width: Int) {
    self.arguments = arguments
    self.width = width
    targets = arguments.scratch.bindMemory(to: Floats8.self, capacity: 64)
    weights = targets + 32
    codes = (arguments.scratch + 8192).bindMemory(to: UInt8.self, capacity: 2048)
  }

  var groupCount: Int { arguments.columns / width }

  /// `[2, 256]`: a row's values and importances, in the order of its blocks.
  var copies: UnsafeMutablePointer<Float> {
    (arguments.scratch + 2048).bindMemory(to: Float.self, capacity: 512)
  }

  /// The first of the columns of a group in the order of blocks.
  @_transparent
  func place(of group: Int) -> Int { width &* Int(arguments.groups[group]) }

  @_transparent
  func vector(_ first: UnsafePointer<Float>, _ column: Int) -> Floats8 {
    first.lanes(arguments.stride &* column)
  }

  /// Puts a row's values with what earlier panels add into `copies`, in the order of its blocks.
  func copyRow(_ lane: Int) {
    for group in 0..<groupCount {
      let place = place(of: group)
      for index in 0..<width {
        let element = arguments.stride &* (width &* group &+ index) &+ lane
        copies[place &+ index] = arguments.values[element] + arguments.carried[element]
      }
    }
  }

  /// Puts the columns' importances into the second half of `copies`, in the order of the blocks.
  func copyImportance() {
    for group in 0..<groupCount {
      (copies + (256 &+ place(of: group))).update(
        from: arguments.importance + width &* group, count: width)
    }
  }

  /// What a group's codes shall stand for after all that was rounded before it.
  @inline(never)
  func loadTargets(_ group: Int, inverseUnit: Floats8) {
    let first = width &* group
    for index in 0..<width {
      targets[index] =
        vector(arguments.values, first &+ index) + vector(arguments.carried, first &+ index)
    }
    for before in 0..<first {
      let error = vector(arguments.errors, before)
      let row = arguments.coupling + (arguments.couplingStride &* before &+ first)
      for index in 0..<width { targets[index] += error * row[index] }
    }
    for index in 0..<width { targets[index] *= inverseUnit }
  }

  /// How much errors count in a group's columns. Columns that hardly count still get a thousandth
  /// of the mean.
  func loadWeights(_ group: Int) {
    let importance = arguments.importance + width &* group
    var largest: Float = 0
    for index in 0..<width { largest = max(largest, importance[index]) }
    guard largest > 0, largest < .infinity else {
      for index in 0..<width { weights[index] = Floats8(repeating: 1) }
      return
    }
    var sum: Float = 0
    for index in 0..<width { sum += importance[index] / largest }
    let factor = Float(width) / sum
    for index in 0..<width {
      weights[index] = Floats8(repeating: max(0.001, importance[index] / largest * factor))
    }
  }

  /// Rounds the columns of a group one after the other: code · scale + offset, all in units.
  ///
  /// - Parameters:
  ///   - group: which one.
  ///   - scale: of each row.
  ///   - offset: of each row.
  ///   - levels: what codes stand for.
  ///   - target: receives the codes of the first row, 256 bytes before the next one's.
  @inline(never)
  func round(
    _ group: Int, scale: Floats8, offset: Floats8, levels: Levels,
    into target: UnsafeMutablePointer<UInt8>
  ) {
    let inverse = (1 / scale).zero(unless: scale .!= 0)
    var (isTable, bottom, limit) = (true, Floats8(repeating: 0), Floats8(repeating: 0))
    if case .integers(let least, let top) = levels {
      (isTable, bottom, limit) = (false, Floats8(repeating: least), Floats8(repeating: top))
    }
    let first = width &* group
    for index in 0..<width {
      let column = first &+ index
      let wanted = (targets[index] - offset) * inverse
      let code: Floats8
      let level: Floats8
      if isTable {
        code = nearestLevels(wanted, asIndices: true)
        level = nearestLevels(wanted, asIndices: false)
      } else {
        level = smaller(larger(wanted, bottom), limit).rounded
        code = level - bottom
      }
      let bytes = code.bytes
      for lane in 0..<8 { target[256 &* lane &+ index] = bytes[lane] }
      let value = vector(arguments.values, column) * inverseUnit
      let error = value - (level * scale + offset)
      UnsafeMutableRawPointer(arguments.errors + arguments.stride &* column).storeBytes(
        of: error * unit, as: Floats8.self)
      let row = arguments.coupling + (arguments.couplingStride &* column &+ first)
      for later in index &+ 1..<max(index &+ 1, width) { targets[later] += error * row[later] }
    }
  }

  /// Leaves no error in a row that is not finite: none of it can be made up for.
  func clearErrors(_ lane: Int) {
    for column in 0..<arguments.columns { arguments.errors[arguments.stride &* column &+ lane] = 0 }
  }
}
