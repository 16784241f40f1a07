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
  /// What turns numbers in a row's unit into the source's, and back.
  var unit = Floats8(repeating: 1)
  var inverseUnit = Floats8(repeating: 1)

  /// Begins with a search's memory: the groups of a row are searched there before.
  init(_ arguments: PanelToRound, width: Int) {
    self.arguments = arguments
    self.width = width
    targets = arguments.scratch.bindMemory(to: Floats8.self, capacity: 64)
    weights = targets + 32
  }

  var groupCount: Int { arguments.columns / width }

  /// `[2, 256]`: a row's values and importances, in the order of its blocks.
  var copies: UnsafeMutablePointer<Float> {
    (arguments.scratch + 2048).bindMemory(to: Float.self, capacity: 512)
  }

  /// `[256]`: a row's codes, in the order of its blocks.
  var rowCodes: UnsafeMutablePointer<UInt8> {
    (arguments.scratch + 4096).bindMemory(to: UInt8.self, capacity: 256)
  }

  /// The first of the columns of a group in the order of blocks.
  @_transparent
  func place(of group: Int) -> Int { width &* Int(arguments.groups[group]) }

  @_transparent
  func vector(_ first: UnsafePointer<Float>, _ column: Int) -> Floats8 {
    first.lanes(arguments.stride &* column)
  }

  @_transparent
  func store(_ value: Floats8, _ first: UnsafeMutablePointer<Float>, _ column: Int) {
    UnsafeMutableRawPointer(first + arguments.stride &* column).storeBytes(
      of: value, as: Floats8.self)
  }

  // MARK: Records

  /// What `record` holds: vectors of the groups, in the order of rounding, or of the panel.
  enum Entry: Int {
    case scale = 0, offset, number, minimum
  }

  @_transparent
  func record(_ entry: Entry, _ group: Int) -> Floats8 {
    UnsafePointer(arguments.record).lanes(8 &* (16 &* entry.rawValue &+ group))
  }

  @_transparent
  func setRecord(_ entry: Entry, _ group: Int, _ value: Floats8) {
    UnsafeMutableRawPointer(arguments.record + 8 &* (16 &* entry.rawValue &+ group)).storeBytes(
      of: value, as: Floats8.self)
  }

  /// The scales of the super-blocks.
  var blockScales: (d: Floats8, dmin: Floats8) {
    get {
      let record = UnsafePointer(arguments.record)
      return (record.lanes(8 &* 64), record.lanes(8 &* 65))
    }
    nonmutating set {
      let record = UnsafeMutableRawPointer(arguments.record + 8 &* 64)
      record.storeBytes(of: newValue.d, as: Floats8.self)
      record.storeBytes(of: newValue.dmin, toByteOffset: 32, as: Floats8.self)
    }
  }

  /// The numbers of a row's groups as bytes, in the order of its blocks.
  func numbers(_ entry: Entry, lane: Int) -> SIMD16<UInt8> {
    var result = SIMD16<UInt8>(repeating: 0)
    for group in 0..<groupCount {
      result[Int(arguments.groups[group])] = record(entry, group).bytes[lane]
    }
    return result
  }

  /// Puts the codes of a row's panel, or of one of its groups, into `rowCodes`.
  func copyCodes(_ group: Int, lane: Int, to place: Int) {
    for index in 0..<width {
      rowCodes[place &+ index] = arguments.codes[8 &* (width &* group &+ index) &+ lane]
    }
  }

  // MARK: Targets

  /// What a row's values shall be with what earlier panels add, and their importances, in the order
  /// of its blocks.
  func copyRow(_ lane: Int) {
    for group in 0..<groupCount {
      let place = place(of: group)
      for index in 0..<width {
        let column = width &* group &+ index
        let element = arguments.stride &* column &+ lane
        let addition = arguments.pull[element] * arguments.inverseDiagonal[column]
        copies[place &+ index] = arguments.values[element] + addition
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
    for index in 0..<width { targets[index] = vector(arguments.pull, first &+ index) }
    for before in 0..<first {
      let error = vector(arguments.errors, before)
      let row = arguments.matrix + (arguments.matrixStride &* before &+ first)
      for index in 0..<width { targets[index] += error * row[index] }
    }
    for index in 0..<width {
      let addition = targets[index] * arguments.inverseDiagonal[first &+ index]
      targets[index] = (vector(arguments.values, first &+ index) + addition) * inverseUnit
    }
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

  // MARK: Codes

  /// Rounds the columns of a group one after the other to code · scale + offset, all in units.
  @inline(never)
  func round(_ group: Int, scale: Floats8, offset: Floats8, levels: Levels) {
    let inverse = (1 / scale).zero(unless: scale .!= 0)
    let grid = PanelLevels(levels)
    let first = width &* group
    setRecord(.scale, group, scale * unit)
    setRecord(.offset, group, offset * unit)
    for index in 0..<width {
      let column = first &+ index
      let level = grid.nearest((targets[index] - offset) * inverse)
      grid.store(level, at: arguments.codes + 8 &* column)
      let reached = level * scale + offset
      let error = vector(arguments.values, column) * inverseUnit - reached
      store(error * unit, arguments.errors, column)
      let left = (targets[index] - reached) * unit
      store(left / arguments.inverseDiagonal[column], arguments.residuals, column)
      let row = arguments.matrix + (arguments.matrixStride &* column &+ first)
      for later in index &+ 1..<max(index &+ 1, width) {
        targets[later] += error * (row[later] * arguments.inverseDiagonal[first &+ later])
      }
    }
  }

  /// See `PanelKernels.descend`.
  @inline(never)
  func descend(levels: Levels) {
    let grid = PanelLevels(levels)
    let zero = Floats8(repeating: 0)
    for column in 0..<arguments.columns {
      let row = arguments.matrix + arguments.matrixStride &* column
      let cost = row[column]
      let (scale, pull) = (record(.scale, column / width), vector(arguments.pull, column))
      let inverse = (1 / scale).zero(unless: scale .!= 0)
      let codes = arguments.codes + 8 &* column
      let level = grid.level(codes)
      let other = grid.nearest(level + pull * ((cost > 0 ? 1 / cost : 0) * inverse))
      let change = (other - level) * scale
      let isLess = cost * change * change .< 2 * change * pull
      let accepted = zero.replacing(with: change, where: isLess)
      store(accepted, arguments.errors, column)
      grid.store(level.replacing(with: other, where: isLess), at: codes)
      for other in 0..<arguments.columns {
        let rest = vector(arguments.pull, other) - accepted * row[other]
        store(rest, arguments.pull, other)
      }
    }
  }

  /// Leaves no error in a row that is not finite: none of it can be made up for.
  func clearErrors(_ columns: Range<Int>, _ lane: Int) {
    for column in columns {
      arguments.errors[arguments.stride &* column &+ lane] = 0
      arguments.residuals[arguments.stride &* column &+ lane] = 0
    }
  }
}

/// The numbers that codes stand for.
struct PanelLevels {
  private let isTable: Bool
  private let bottom: Floats8
  private let limit: Floats8

  init(_ levels: Levels) {
    switch levels {
    case .table: (isTable, bottom, limit) = (true, Floats8(repeating: 0), Floats8(repeating: 0))
    case .integers(let least, let top):
      (isTable, bottom, limit) = (false, Floats8(repeating: least), Floats8(repeating: top))
    }
  }

  @_transparent
  func nearest(_ x: Floats8) -> Floats8 {
    isTable ? nearestLevels(x, asIndices: false) : smaller(larger(x, bottom), limit).rounded
  }

  /// Stores a level's codes.
  @_transparent
  func store(_ level: Floats8, at codes: UnsafeMutablePointer<UInt8>) {
    let code = isTable ? nearestLevels(level, asIndices: true) : level - bottom
    UnsafeMutableRawPointer(codes).storeBytes(of: code.bytes, as: SIMD8<UInt8>.self)
  }

  /// The levels of codes.
  @_transparent
  func level(_ codes: UnsafePointer<UInt8>) -> Floats8 {
    var result = Floats8(repeating: 0)
    for lane in 0..<8 {
      result[lane] = isTable ? Float(IQ4_NL.levels[Int(codes[lane])]) : Float(codes[lane])
    }
    return isTable ? result : result + bottom
  }
}
