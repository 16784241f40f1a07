import CIntrinsics
import KernelInterface

/// See `KernelSet.multiplyFloats`.
///
/// Whole tiles of 8 rows that end within the first or second vector, as the last ones across heads
/// of 64, 128 or 256 elements do, are spared the others.
func multiplyFloats(_ tile: UnsafePointer<FloatTile>) {
  switch (tile.pointee.rows, tile.pointee.columns) {
  case (1, _): multiply(tile.pointee, rows: 1, vectors: 3)
  case (2, _): multiply(tile.pointee, rows: 2, vectors: 3)
  case (3...4, _): multiply(tile.pointee, rows: 4, vectors: 3)
  case (_, ...16): multiply(tile.pointee, rows: 8, vectors: 1)
  case (_, ...32): multiply(tile.pointee, rows: 8, vectors: 2)
  default: multiply(tile.pointee, rows: 8, vectors: 3)
  }
}

/// `rows` and `vectors` are constants wherever this is inlined.
@inline(__always)
private func multiply(_ tile: FloatTile, rows: Int, vectors: Int) {
  var x = tile.activations
  var weights = UnsafeRawPointer(tile.weights)
  let stride = tile.resultStride
  let result = tile.result
  func row(_ index: Int, if isThere: Bool) -> FloatRow {
    isThere ? FloatRow(UnsafeRawPointer(result + index &* stride), vectors) : FloatRow()
  }
  var r0 = row(0, if: true)
  var r1 = row(1, if: rows > 1)
  var r2 = row(2, if: rows > 2)
  var r3 = row(3, if: rows > 2)
  var r4 = row(4, if: rows > 4)
  var r5 = row(5, if: rows > 4)
  var r6 = row(6, if: rows > 4)
  var r7 = row(7, if: rows > 4)
  for _ in 0..<tile.width {
    let w = FloatRow(weights, vectors)
    r0.add(x[0], w, vectors)
    if rows > 1 { r1.add(x[1], w, vectors) }
    if rows > 2 {
      r2.add(x[2], w, vectors)
      r3.add(x[3], w, vectors)
    }
    if rows > 4 {
      r4.add(x[4], w, vectors)
      r5.add(x[5], w, vectors)
      r6.add(x[6], w, vectors)
      r7.add(x[7], w, vectors)
    }
    x += rowTile
    weights += 4 &* columnTile
  }
  r0.store(to: result, vectors)
  if rows > 1 { r1.store(to: result + stride, vectors) }
  if rows > 2 {
    r2.store(to: result + 2 &* stride, vectors)
    r3.store(to: result + 3 &* stride, vectors)
  }
  if rows > 4 {
    r4.store(to: result + 4 &* stride, vectors)
    r5.store(to: result + 5 &* stride, vectors)
    r6.store(to: result + 6 &* stride, vectors)
    r7.store(to: result + 7 &* stride, vectors)
  }
}

/// 48 floats of one row of a tile. Where only the first `vectors` of 16 count, the others are zero
/// and left alone; the number is a constant wherever this is inlined.
struct FloatRow {
  var a: SIMD16<Float>
  var b: SIMD16<Float>
  var c: SIMD16<Float>

  @inline(__always)
  init() { self.init(_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()) }

  @inline(__always)
  init(_ a: SIMD16<Float>, _ b: SIMD16<Float>, _ c: SIMD16<Float>) {
    self.a = a
    self.b = b
    self.c = c
  }

  @inline(__always)
  init(_ source: UnsafeRawPointer, _ vectors: Int = 3) {
    self.init()
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD16<Float>.self)
    if vectors > 1 { b = source.loadUnaligned(fromByteOffset: 64, as: SIMD16<Float>.self) }
    if vectors > 2 { c = source.loadUnaligned(fromByteOffset: 128, as: SIMD16<Float>.self) }
  }

  @inline(__always)
  mutating func add(_ x: Float, _ weights: FloatRow, _ vectors: Int = 3) {
    let x = _mm512_set1_ps(x)
    a = _mm512_fmadd_ps(x, weights.a, a)
    if vectors > 1 { b = _mm512_fmadd_ps(x, weights.b, b) }
    if vectors > 2 { c = _mm512_fmadd_ps(x, weights.c, c) }
  }

  @inline(__always)
  func store(to result: UnsafeMutablePointer<Float>, _ vectors: Int = 3) {
    let result = UnsafeMutableRawPointer(result)
    result.storeBytes(of: a, toByteOffset: 0, as: SIMD16<Float>.self)
    if vectors > 1 { result.storeBytes(of: b, toByteOffset: 64, as: SIMD16<Float>.self) }
    if vectors > 2 { result.storeBytes(of: c, toByteOffset: 128, as: SIMD16<Float>.self) }
  }
}
