import KernelInterface

/// See `KernelSet.multiplyFloats`.
func multiplyFloats(_ tile: UnsafePointer<FloatTile>) {
  let tile = tile.pointee
  for row in 0..<min(tile.rows, rowTile) {
    let result = UnsafeMutableRawPointer(tile.result + row * tile.resultStride)
    var sum = result.loadUnaligned(as: SIMD8<Float>.self)
    let weights = UnsafeRawPointer(tile.weights)
    for index in 0..<tile.width {
      let weight = weights.loadUnaligned(
        fromByteOffset: 4 &* columnTile &* index, as: SIMD8<Float>.self)
      sum += tile.activations[index &* rowTile &+ row] * weight
    }
    result.storeBytes(of: sum, as: SIMD8<Float>.self)
  }
}

/// See `KernelSet.multiplyInt8`.
func multiplyInt8(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile.pointee, elementsPerStep: 4) { sum, x, codes in
    // Bytes 0 and 2, then 1 and 3, of each element as 16-bit numbers; the products fit.
    let pairs = unsafeBitCast(codes, to: SIMD16<Int16>.self)
    let even = unsafeBitCast(SIMD8(repeating: x & 0x00FF_00FF), to: SIMD16<Int16>.self)
    let odd = unsafeBitCast(SIMD8(repeating: x >> 8 & 0x00FF_00FF), to: SIMD16<Int16>.self)
    sum &+= addPairs(((pairs &<< 8) &>> 8) &* even)
    sum &+= addPairs((pairs &>> 8) &* odd)
  }
}

/// See `KernelSet.multiplyInt16`.
func multiplyInt16(_ tile: UnsafePointer<IntegerTile>) {
  multiply(tile.pointee, elementsPerStep: 2) { sum, x, codes in
    let low = Int32(truncatingIfNeeded: Int16(truncatingIfNeeded: x))
    let high = Int32(bitPattern: x) >> 16
    sum &+= ((codes &<< 16) &>> 16) &* low &+ (codes &>> 16) &* high
  }
}

/// Sums of the two 16-bit halves of each element.
@inline(__always)
private func addPairs(_ pairs: SIMD16<Int16>) -> SIMD8<Int32> {
  let words = unsafeBitCast(pairs, to: SIMD8<Int32>.self)
  return ((words &<< 16) &>> 16) &+ (words &>> 16)
}

@inline(__always)
private func multiply(
  _ tile: IntegerTile, elementsPerStep: Int,
  _ add: (_ sum: inout SIMD8<Int32>, _ x: UInt32, _ codes: SIMD8<Int32>) -> Void
) {
  let steps = tile.groupWidth / elementsPerStep
  let isWide = elementsPerStep == 2
  for row in 0..<min(tile.rows, rowTile) {
    let result = UnsafeMutableRawPointer(tile.result + row * tile.resultStride)
    var total = result.loadUnaligned(as: SIMD8<Float>.self)
    for group in 0..<tile.groups {
      var sum = SIMD8<Int32>(repeating: 0)
      if !isWide {
        sum = UnsafeRawPointer(tile.starts + group * columnTile).loadUnaligned(
          as: SIMD8<Int32>.self)
      }
      for step in group &* steps..<(group &+ 1) &* steps {
        let x = tile.activations.loadUnaligned(
          fromByteOffset: 4 &* (step &* rowTile &+ row), as: UInt32.self)
        let codes = tile.codes.loadUnaligned(
          fromByteOffset: 4 &* columnTile &* step, as: SIMD8<Int32>.self)
        add(&sum, x, codes)
      }
      let scale = UnsafeRawPointer(tile.scales + group * columnTile).loadUnaligned(
        as: SIMD8<Float>.self)
      let xScale = tile.activationScales[group * rowTile + row]
      total += SIMD8<Float>(sum) * scale * xScale
    }
    result.storeBytes(of: total, as: SIMD8<Float>.self)
  }
}
