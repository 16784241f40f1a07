import CIntrinsics
import KernelInterface

/// See `KernelSet.multiplyFloats`.
func multiplyFloats(_ tile: UnsafePointer<FloatTile>) {
  switch tile.pointee.rows {
  case 1: multiply(tile.pointee, rows: 1)
  case 2: multiply(tile.pointee, rows: 2)
  case 3, 4: multiply(tile.pointee, rows: 4)
  default: multiply(tile.pointee, rows: 6)
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
  }
}

/// 16 floats of one row of a tile.
struct FloatRow {
  var a: SIMD8<Float>
  var b: SIMD8<Float>

  @inline(__always)
  init() { self.init(_mm256_setzero_ps(), _mm256_setzero_ps()) }

  @inline(__always)
  init(_ a: SIMD8<Float>, _ b: SIMD8<Float>) {
    self.a = a
    self.b = b
  }

  @inline(__always)
  init(_ source: UnsafeRawPointer) {
    a = source.loadUnaligned(fromByteOffset: 0, as: SIMD8<Float>.self)
    b = source.loadUnaligned(fromByteOffset: 32, as: SIMD8<Float>.self)
  }

  @inline(__always)
  mutating func add(_ x: Float, _ weights: FloatRow) {
    let x = _mm256_set1_ps(x)
    a = _mm256_fmadd_ps(x, weights.a, a)
    b = _mm256_fmadd_ps(x, weights.b, b)
  }

  @inline(__always)
  func store(to result: UnsafeMutablePointer<Float>) {
    store(to: UnsafeMutableRawPointer(result))
  }

  @inline(__always)
  func store(to result: UnsafeMutableRawPointer) {
    result.storeBytes(of: a, toByteOffset: 0, as: SIMD8<Float>.self)
    result.storeBytes(of: b, toByteOffset: 32, as: SIMD8<Float>.self)
  }
}
