import CIntrinsics
import KernelInterface

/// See `KernelSet.multiplyFloats`.
func multiplyFloats(_ tile: UnsafePointer<FloatTile>) {
  switch tile.pointee.rows {
  case 1: multiply(tile.pointee, rows: 1)
  case 2: multiply(tile.pointee, rows: 2)
  case 3, 4: multiply(tile.pointee, rows: 4)
  default: multiply(tile.pointee, rows: 8)
  }
}

/// `rows` is a constant wherever this is inlined.
@inline(__always)
private func multiply(_ tile: FloatTile, rows: Int) {
  var x = tile.activations
  var weights = UnsafeRawPointer(tile.weights)
  let stride = tile.resultStride
  let result = tile.result
  let zero = FloatRow()
  var r0 = FloatRow(UnsafeRawPointer(result))
  var r1 = rows > 1 ? FloatRow(UnsafeRawPointer(result + stride)) : zero
  var r2 = rows > 2 ? FloatRow(UnsafeRawPointer(result + 2 &* stride)) : zero
  var r3 = rows > 2 ? FloatRow(UnsafeRawPointer(result + 3 &* stride)) : zero
  var r4 = rows > 4 ? FloatRow(UnsafeRawPointer(result + 4 &* stride)) : zero
  var r5 = rows > 4 ? FloatRow(UnsafeRawPointer(result + 5 &* stride)) : zero
  var r6 = rows > 4 ? FloatRow(UnsafeRawPointer(result + 6 &* stride)) : zero
  var r7 = rows > 4 ? FloatRow(UnsafeRawPointer(result + 7 &* stride)) : zero
  for _ in 0..<tile.width {
    let w = FloatRow(weights)
    r0.add(x[0], w)
    if rows > 1 { r1.add(x[1], w) }
    if rows > 2 {
      r2.add(x[2], w)
      r3.add(x[3], w)
    }
    if rows > 4 {
      r4.add(x[4], w)
      r5.add(x[5], w)
      r6.add(x[6], w)
      r7.add(x[7], w)
    }
    x += rowTile
    weights += 4 &* columnTile
  }
  r0.store(to: result)
  if rows > 1 { r1.store(to: result + stride) }
  if rows > 2 {
    r2.store(to: result + 2 &* stride)
    r3.store(to: result + 3 &* stride)
  }
  if rows > 4 {
    r4.store(to: result + 4 &* stride)
    r5.store(to: result + 5 &* stride)
    r6.store(to: result + 6 &* stride)
    r7.store(to: result + 7 &* stride)
  }
}

/// 48 floats of one row of a tile.
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
  init(_ source: UnsafeRawPointer) {
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD16<Float>.self)
    b = source.loadUnaligned(fromByteOffset: 64, as: SIMD16<Float>.self)
    c = source.loadUnaligned(fromByteOffset: 128, as: SIMD16<Float>.self)
  }

  @inline(__always)
  mutating func add(_ x: Float, _ weights: FloatRow) {
    let x = _mm512_set1_ps(x)
    a = _mm512_fmadd_ps(x, weights.a, a)
    b = _mm512_fmadd_ps(x, weights.b, b)
    c = _mm512_fmadd_ps(x, weights.c, c)
  }

  @inline(__always)
  func store(to result: UnsafeMutablePointer<Float>) {
    let result = UnsafeMutableRawPointer(result)
    result.storeBytes(of: a, toByteOffset: 0, as: SIMD16<Float>.self)
    result.storeBytes(of: b, toByteOffset: 64, as: SIMD16<Float>.self)
    result.storeBytes(of: c, toByteOffset: 128, as: SIMD16<Float>.self)
  }
}
