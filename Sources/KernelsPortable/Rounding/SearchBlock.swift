import KernelInterface

/// Values of eight or sixteen groups that are searched together, and how much their errors count.
///
/// A lane is a group: vector i of a set holds the i-th elements of eight groups. Values are
/// multiplied by a power of two so that the largest magnitude is from 1 to 2, which keeps squares
/// in range; weights have a mean near 1.
struct SearchBlock {
  /// `[32]`: one set of 32 vectors, or two of 16.
  let values: UnsafeMutablePointer<Floats8>
  /// `[32]`, as `values`; positive.
  let weights: UnsafeMutablePointer<Floats8>
  /// Elements of a group: 16 or 32.
  let width: Int
  /// What turns a scale of `values` into one of the source.
  private(set) var unit: Float = 1
  /// The inverse of `unit`.
  private(set) var inverseUnit: Float = 1

  /// Takes 2 KiB of memory, aligned to 32 bytes.
  init(width: Int, scratch: UnsafeMutableRawPointer) {
    values = scratch.bindMemory(to: Floats8.self, capacity: 64)
    weights = values + 32
    self.width = width
  }

  /// What 256 values need instead of a search.
  enum Kind { case ordinary, zero, notFinite }

  /// Takes the values of the next block.
  mutating func load(_ source: UnsafePointer<Float>) -> Kind {
    var peak = Floats8(repeating: 0)
    var zeros = Floats8(repeating: 0)
    for index in 0..<32 {
      let x = source.lanes(8 &* index)
      peak = larger(x.magnitudes, peak)
      zeros += x * Floats8(repeating: 0)
    }
    if zeros.total != 0 { return .notFinite }
    let largest = peak.largest
    // Exponents are kept from the ends of the range, where one of the powers would not be normal.
    let exponent = min(max(Int32(largest.bitPattern >> 23), 2), 252)
    unit = Float(bitPattern: UInt32(exponent) << 23)
    inverseUnit = Float(bitPattern: UInt32(254 &- exponent) << 23)
    transpose(source, factor: inverseUnit, into: values)
    return largest == 0 ? .zero : .ordinary
  }

  /// Makes all errors count alike.
  func loadWeights() {
    for index in 0..<32 { weights[index] = Floats8(repeating: 1) }
  }

  /// Takes how much errors count in the columns of the next blocks.
  ///
  /// Columns that hardly count still get a thousandth of the mean, so that their groups get scales
  /// that fit.
  func loadWeights(_ importance: UnsafePointer<Float>) {
    var peak = Floats8(repeating: 0)
    for index in 0..<32 { peak = larger(importance.lanes(8 &* index), peak) }
    let largest = peak.largest
    guard largest > 0 else { return loadWeights() }
    // The exponent's inverse is in range except at the ends, where this is near enough.
    let exponent = min(max(Int32(largest.bitPattern >> 23), 2), 252)
    transpose(importance, factor: Float(bitPattern: UInt32(254 &- exponent) << 23), into: weights)
    var sum = Floats8(repeating: 0)
    for index in 0..<32 { sum += weights[index] }
    let mean = sum.total / 256
    let floor = Floats8(repeating: 0.001 * mean)
    let factor = Floats8(repeating: 1 / mean)
    for index in 0..<32 { weights[index] = larger(weights[index], floor) * factor }
  }

  /// As above, for groups that are stored apart, so that each may have a mean of its own.
  func loadWeightsByGroup(_ importance: UnsafePointer<Float>) {
    loadWeights(importance)
    var sum = Floats8(repeating: 0)
    for index in 0..<32 { sum += weights[index] }
    let factor = 32 / sum
    for index in 0..<32 { weights[index] = weights[index] * factor }
  }

  /// The binary16 nearest to each scale, or a neighbor of it, in the unit of `values`; never
  /// infinite.
  func stored(_ scales: Floats8, step: Int) -> Floats8 {
    var result = Floats8(repeating: 0)
    for lane in 0..<8 { result[lane] = neighbor(of: scales[lane], step) }
    return result
  }

  /// The binary16 nearest to a scale, or one that is larger or less in magnitude by some steps.
  func neighbor(of scale: Float, _ step: Int) -> Float {
    let bits = float16Bits(inHalfRange(scale * unit))
    let magnitude = min(max(Int(bits & 0x7FFF) &+ step, 0), 0x7BFF)
    let moved = bits & 0x8000 | UInt16(truncatingIfNeeded: magnitude)
    return Float16Bits.float(moved) * inverseUnit
  }

  private func transpose(
    _ source: UnsafePointer<Float>, factor: Float, into target: UnsafeMutablePointer<Floats8>
  ) {
    for set in 0..<32 / width {
      let first = source + 8 &* width &* set
      for index in 0..<width {
        let p = first + index
        target[set &* width &+ index] =
          Floats8(
            p[0], p[width], p[2 &* width], p[3 &* width], p[4 &* width], p[5 &* width],
            p[6 &* width], p[7 &* width]) * factor
      }
    }
  }

  /// The binary16 nearest to a scale of `values`, in their unit; never infinite.
  @_transparent
  func stored(_ scale: Float) -> Float {
    let bits = float16Bits(inHalfRange(scale * unit))
    return Float16Bits.float(bits) * inverseUnit
  }

  /// The least binary16 that a scale from 0 does not exceed, in the unit of `values`.
  ///
  /// Where scales are so small that binary16 has few of them, the next lower one would not reach.
  @_transparent
  func storedAbove(_ scale: Float) -> Float {
    let wanted = inHalfRange(scale * unit)
    var bits = float16Bits(wanted)
    if Float16Bits.float(bits) < wanted, bits < 0x7BFF { bits &+= 1 }
    return Float16Bits.float(bits) * inverseUnit
  }
}

extension RowsToRound {
  /// `[256]`: a block's codes before they are packed, behind the 2 KiB of a `SearchBlock`.
  var codes: UnsafeMutablePointer<UInt8> {
    (scratch + 2048).bindMemory(to: UInt8.self, capacity: 256)
  }

  /// `[2, 256]`: copies of values and importance where rows end within a search, behind `codes`.
  var copies: UnsafeMutablePointer<Float> {
    (scratch + 4096).bindMemory(to: Float.self, capacity: 512)
  }
}
