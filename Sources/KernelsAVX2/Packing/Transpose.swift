import CIntrinsics
import KernelInterface

/// See `KernelSet.transpose`.
func transpose(_ arguments: UnsafePointer<Transposition>) {
  let matrix = arguments.pointee
  var row = 0
  while row < matrix.rows {
    let rows = min(8, matrix.rows &- row)
    transposeBand(
      matrix.source + 4 &* row &* matrix.sourceStride, 4 &* matrix.sourceStride, rows: rows,
      columns: matrix.columns, matrix.destination + 4 &* row, 4 &* matrix.destinationStride)
    row &+= 8
  }
}

/// Up to eight rows. Strides are in bytes.
@inline(__always)
private func transposeBand(
  _ source: UnsafeRawPointer, _ sourceStride: Int, rows: Int, columns: Int,
  _ destination: UnsafeMutableRawPointer, _ destinationStride: Int
) {
  var column = 0
  while column &+ 8 <= columns {
    var block = Block8x8(source + 4 &* column, stride: sourceStride, rows: rows)
    block.transpose()
    block.store(to: destination + column &* destinationStride, destinationStride, rows: rows)
    column &+= 8
  }
  while column < columns {
    for row in 0..<rows {
      let value = source.loadUnaligned(
        fromByteOffset: row &* sourceStride &+ 4 &* column, as: UInt32.self)
      destination.storeBytes(
        of: value, toByteOffset: column &* destinationStride &+ 4 &* row, as: UInt32.self)
    }
    column &+= 1
  }
}

/// Eight rows of eight 4-byte elements.
private struct Block8x8 {
  typealias Line = SIMD8<Float>
  var r0, r1, r2, r3, r4, r5, r6, r7: Line

  /// Loads `rows` rows and repeats the last for those that are missing.
  @inline(__always)
  init(_ source: UnsafeRawPointer, stride: Int, rows: Int) {
    let last = rows &- 1
    @inline(__always) func line(_ index: Int) -> Line {
      source.loadUnaligned(fromByteOffset: min(index, last) &* stride, as: Line.self)
    }
    (r0, r1, r2, r3) = (line(0), line(1), line(2), line(3))
    (r4, r5, r6, r7) = (line(4), line(5), line(6), line(7))
  }

  /// Exchanges single elements, then pairs, then halves of the rows.
  @inline(__always)
  mutating func transpose() {
    let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1))
    let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3))
    let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5))
    let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7))
    let (b0, b1) = (pairsLow(a0, a2), pairsHigh(a0, a2))
    let (b2, b3) = (pairsLow(a1, a3), pairsHigh(a1, a3))
    let (b4, b5) = (pairsLow(a4, a6), pairsHigh(a4, a6))
    let (b6, b7) = (pairsLow(a5, a7), pairsHigh(a5, a7))
    (r0, r4) = (halvesLow(b0, b4), halvesHigh(b0, b4))
    (r1, r5) = (halvesLow(b1, b5), halvesHigh(b1, b5))
    (r2, r6) = (halvesLow(b2, b6), halvesHigh(b2, b6))
    (r3, r7) = (halvesLow(b3, b7), halvesHigh(b3, b7))
  }

  @inline(__always)
  private func pairsLow(_ a: Line, _ b: Line) -> Line {
    unsafeBitCast(
      _mm256_unpacklo_pd(
        unsafeBitCast(a, to: SIMD4<Double>.self), unsafeBitCast(b, to: SIMD4<Double>.self)),
      to: Line.self)
  }

  @inline(__always)
  private func pairsHigh(_ a: Line, _ b: Line) -> Line {
    unsafeBitCast(
      _mm256_unpackhi_pd(
        unsafeBitCast(a, to: SIMD4<Double>.self), unsafeBitCast(b, to: SIMD4<Double>.self)),
      to: Line.self)
  }

  @inline(__always)
  private func halvesLow(_ a: Line, _ b: Line) -> Line {
    Line(lowHalf: a.lowHalf, highHalf: b.lowHalf)
  }

  @inline(__always)
  private func halvesHigh(_ a: Line, _ b: Line) -> Line {
    Line(lowHalf: a.highHalf, highHalf: b.highHalf)
  }

  /// Writes the first `rows` elements of each line.
  @inline(__always)
  func store(to destination: UnsafeMutableRawPointer, _ stride: Int, rows: Int) {
    storeLine(r0, destination, rows)
    storeLine(r1, destination + stride, rows)
    storeLine(r2, destination + 2 &* stride, rows)
    storeLine(r3, destination + 3 &* stride, rows)
    storeLine(r4, destination + 4 &* stride, rows)
    storeLine(r5, destination + 5 &* stride, rows)
    storeLine(r6, destination + 6 &* stride, rows)
    storeLine(r7, destination + 7 &* stride, rows)
  }

  /// Masked stores are slow on older AMD cores, so a short line is written in up to three pieces.
  @inline(__always)
  private func storeLine(_ line: Line, _ destination: UnsafeMutableRawPointer, _ count: Int) {
    if count == 8 {
      destination.storeBytes(of: line, as: Line.self)
      return
    }
    var rest = line.lowHalf
    var offset = 0
    if count & 4 != 0 {
      destination.storeBytes(of: rest, as: SIMD4<Float>.self)
      rest = line.highHalf
      offset = 16
    }
    if count & 2 != 0 {
      destination.storeBytes(of: rest.lowHalf, toByteOffset: offset, as: SIMD2<Float>.self)
      rest = SIMD4(lowHalf: rest.highHalf, highHalf: rest.highHalf)
      offset &+= 8
    }
    if count & 1 != 0 {
      destination.storeBytes(of: rest[0], toByteOffset: offset, as: Float.self)
    }
  }
}
