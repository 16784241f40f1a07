import CIntrinsics
import KernelInterface

/// A tile of 6 rows × 16 outputs: two registers a row, 12 of the 16 that there are.
let rowTile = 6
let columnTile = 16

/// See `KernelSet.multiplyInt8`.
func multiplyInt8(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile, as: Bytes.self)
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile, as: Words.self)
}

/// How codes are multiplied and summed: `Bytes` and `Words` of each module.
protocol Arithmetic {
  /// Elements of activations in 4 bytes.
  static var elementsPerStep: Int { get }
  /// Whether a group's sums start at its `IntegerTile.starts`, or else at zero.
  static var hasStarts: Bool { get }
  /// The products of 4 bytes of activations with codes.
  static func product(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64>
  /// Adds the products of 4 bytes of activations with codes to sums.
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>)
  /// The instruction that limits matmuls, with sums in the place of `x` if it adds to them.
  static func peakStep(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>) -> SIMD4<Int64>
  /// Sums of 32 bits.
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64>
}

/// Picks the version for as many rows as there are.
@inline(__always)
private func multiply<Kind: Arithmetic>(_ tile: UnsafePointer<IntegerTile>, as kind: Kind.Type) {
  switch tile.pointee.rows {
  case 1: multiply(tile.pointee, as: kind, rows: 1)
  case 2, 3: multiply(tile.pointee, as: kind, rows: 3)
  default: multiply(tile.pointee, as: kind, rows: 6)
  }
}

/// The results of a tile while it is computed, `[rowTile, columnTile]`: no registers are left for
/// them, and rows of the whole result may evict each other from the cache.
typealias Totals = (
  SIMD16<Float>, SIMD16<Float>, SIMD16<Float>, SIMD16<Float>, SIMD16<Float>, SIMD16<Float>
)

/// `rows` is 1, 3 or 6 and a constant wherever this is inlined.
@inline(__always)
private func multiply<Kind: Arithmetic>(_ tile: IntegerTile, as kind: Kind.Type, rows: Int) {
  let zero = SIMD16<Float>()
  var totals: Totals = (zero, zero, zero, zero, zero, zero)
  withUnsafeMutablePointer(to: &totals) { totals in
    let totals = UnsafeMutableRawPointer(totals)
    for row in 0..<rows {
      FloatRow(UnsafeRawPointer(tile.result + row &* tile.resultStride))
        .store(to: totals + 64 &* row)
    }
    addGroups(tile, as: kind, rows: rows, to: totals)
    for row in 0..<rows {
      FloatRow(totals + 64 &* row).store(to: tile.result + row &* tile.resultStride)
    }
  }
}

@inline(__always)
private func addGroups<Kind: Arithmetic>(
  _ tile: IntegerTile, as kind: Kind.Type, rows: Int, to totals: UnsafeMutableRawPointer
) {
  var x = tile.activations
  var codes = tile.codes
  var scales = UnsafeRawPointer(tile.scales)
  var starts = UnsafeRawPointer(tile.starts)
  var xScales = tile.activationScales
  // Not a constant, so that the compiler does not unroll the loop: it would go through it row by
  // row and run out of registers.
  let steps = tile.groupWidth / Kind.elementsPerStep
  for _ in 0..<tile.groups {
    var sums =
      Kind.hasStarts ? TileSums(Row(starts)) : TileSums(kind, &x, &codes, rows: rows)
    sums.add(kind, &x, &codes, steps: Kind.hasStarts ? steps : steps &- 1, rows: rows)
    let scale = FloatRow(scales)
    for row in 0..<rows {
      sums[row].addTotals(kind, scale, xScales[row], to: totals + 64 &* row)
    }
    scales += 4 &* columnTile
    starts += 4 &* columnTile
    xScales += rowTile
  }
}

/// Integer sums of a tile.
struct TileSums {
  private var r0, r1, r2, r3, r4, r5: Row

  @inline(__always)
  init(_ start: Row) { (r0, r1, r2, r3, r4, r5) = (start, start, start, start, start, start) }

  /// The products of a first step, which need no addition, and goes on to what comes after.
  @inline(__always)
  init<Kind: Arithmetic>(
    _ kind: Kind.Type, _ x: inout UnsafeRawPointer, _ codes: inout UnsafeRawPointer, rows: Int
  ) {
    self.init(Row())
    let w = Row(codes)
    r0 = Row(x, 0, w, kind)
    if rows > 1 {
      r1 = Row(x, 4, w, kind)
      r2 = Row(x, 8, w, kind)
    }
    if rows > 3 {
      r3 = Row(x, 12, w, kind)
      r4 = Row(x, 16, w, kind)
      r5 = Row(x, 20, w, kind)
    }
    x += 4 &* rowTile
    codes += 4 &* columnTile
  }

  /// Adds products and goes on to what comes after. `rows` is 1, 3 or 6.
  @inline(__always)
  mutating func add<Kind: Arithmetic>(
    _ kind: Kind.Type, _ x: inout UnsafeRawPointer, _ codes: inout UnsafeRawPointer, steps: Int,
    rows: Int
  ) {
    var step = 0
    while step < steps {
      step &+= 1
      let w = Row(codes)
      r0.add(x, 0, w, kind)
      if rows > 1 {
        r1.add(x, 4, w, kind)
        r2.add(x, 8, w, kind)
      }
      if rows > 3 {
        r3.add(x, 12, w, kind)
        r4.add(x, 16, w, kind)
        r5.add(x, 20, w, kind)
      }
      x += 4 &* rowTile
      codes += 4 &* columnTile
    }
  }

  @inline(__always)
  subscript(row: Int) -> Row {
    switch row {
    case 0: r0
    case 1: r1
    case 2: r2
    case 3: r3
    case 4: r4
    default: r5
    }
  }
}

/// Integer sums of one row of a tile.
struct Row {
  var a: SIMD4<Int64>
  var b: SIMD4<Int64>

  @inline(__always)
  init() {
    a = SIMD4(repeating: 0)
    b = a
  }

  @inline(__always)
  init(_ source: UnsafeRawPointer) {
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD4<Int64>.self)
    b = source.loadUnaligned(fromByteOffset: 32, as: SIMD4<Int64>.self)
  }

  /// The products of 4 bytes of a row's activations with codes.
  @inline(__always)
  init<Kind: Arithmetic>(
    _ x: UnsafeRawPointer, _ offset: Int, _ codes: Row, _ kind: Kind.Type
  ) {
    let four = _mm256_set1_epi32(x.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    a = Kind.product(four, codes.a)
    b = Kind.product(four, codes.b)
  }

  @inline(__always)
  mutating func add<Kind: Arithmetic>(
    _ x: UnsafeRawPointer, _ offset: Int, _ codes: Row, _ kind: Kind.Type
  ) {
    let four = _mm256_set1_epi32(x.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    Kind.add(four, codes.a, to: &a)
    Kind.add(four, codes.b, to: &b)
  }

  /// Adds the sums times their scales to a row of the results.
  @inline(__always)
  func addTotals<Kind: Arithmetic>(
    _ kind: Kind.Type, _ scale: FloatRow, _ xScale: Float, to totals: UnsafeMutableRawPointer
  ) {
    var row = FloatRow(totals)
    let xScales = _mm256_set1_ps(xScale)
    row.a = _mm256_fmadd_ps(
      _mm256_mul_ps(_mm256_cvtepi32_ps(Kind.total(a)), scale.a), xScales, row.a)
    row.b = _mm256_fmadd_ps(
      _mm256_mul_ps(_mm256_cvtepi32_ps(Kind.total(b)), scale.b), xScales, row.b)
    row.store(to: totals)
  }
}
