import CIntrinsics
import KernelInterface

/// A tile of 6 rows × 16 outputs: two registers a row, 12 of the 16 that there are.
let rowTile = 6
let columnTile = 16

/// See `KernelSet.multiplyInt8`.
///
/// Products are summed in 16 bits over a whole group. Sums start at −128 times the sums of their
/// codes and may overflow on the way: what counts is that each ends as one of (activation code −
/// 128) · code over half a group, at most 127 · 512 / 2 = 32512.
func multiplyInt8(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile, as: Bytes.self)
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile, as: Words.self)
}

/// How codes are multiplied and summed.
protocol Arithmetic {
  /// Elements of activations in 4 bytes.
  static var elementsPerStep: Int { get }
  /// What each group's sums start with.
  static func start(_ starts: UnsafeRawPointer) -> Row
  /// Adds to sums the products of 4 bytes of activations with codes.
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>)
  /// Sums of 32 bits.
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64>
}

/// Codes and activations of 8 bits, sums of 16 that belong together in pairs.
enum Bytes: Arithmetic {
  static var elementsPerStep: Int { 4 }

  @inline(__always)
  static func start(_ starts: UnsafeRawPointer) -> Row { Row(starts) }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(x, codes))
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> {
    _mm256_madd_epi16(sums, _mm256_set1_epi16(1))
  }
}

/// Codes and activations of 16 bits, sums of 32.
enum Words: Arithmetic {
  static var elementsPerStep: Int { 2 }

  @inline(__always)
  static func start(_ starts: UnsafeRawPointer) -> Row { Row() }

  @inline(__always)
  static func add(_ x: SIMD4<Int64>, _ codes: SIMD4<Int64>, to sums: inout SIMD4<Int64>) {
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(x, codes))
  }

  @inline(__always)
  static func total(_ sums: SIMD4<Int64>) -> SIMD4<Int64> { sums }
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

/// The results of a tile while it is worked on, `[rowTile, columnTile]`: there are no registers
/// left for them, and rows of the whole result may lie where they push each other out of the cache.
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
    var sums = TileSums(Kind.start(starts))
    sums.add(kind, &x, &codes, steps: steps, rows: rows)
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

/// See `IntegerTile.starts`, for each half of 32 codes: two sums of 16 bits, of the first and of
/// the second two of each four codes.
@inline(__always)
func groupStarts(_ codes: SIMD4<Int64>) -> (first: Int32, second: Int32) {
  let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes)
  let fours = _mm256_add_epi16(pairs, _mm256_unpackhi_epi64(pairs, pairs))
  let sums = _mm256_add_epi16(fours, _mm256_srli_epi64(fours, 32))
  let starts = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(sums, 7))
  return (Int32(truncatingIfNeeded: starts[0]), Int32(truncatingIfNeeded: starts[2]))
}

/// The start of a group from those of its halves.
@inline(__always)
func joinStarts(_ first: Int32, _ second: Int32) -> Int32 {
  let first = unsafeBitCast(first, to: SIMD2<Int16>.self)
  let second = unsafeBitCast(second, to: SIMD2<Int16>.self)
  return unsafeBitCast(first &+ second, to: Int32.self)
}
