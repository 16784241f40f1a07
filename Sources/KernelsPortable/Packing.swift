import BlockFormats
import KernelInterface

/// See `KernelSet.transpose`.
func transpose(_ arguments: UnsafePointer<Transposition>) {
  let matrix = arguments.pointee
  for column in 0..<matrix.columns {
    for row in 0..<matrix.rows {
      let value = matrix.source.loadUnaligned(
        fromByteOffset: 4 &* (row &* matrix.sourceStride &+ column), as: UInt32.self)
      matrix.destination.storeBytes(
        of: value, toByteOffset: 4 &* (column &* matrix.destinationStride &+ row), as: UInt32.self)
    }
  }
}

/// See `KernelSet.decode`.
func decode(
  _ type: ElementType, _ source: UnsafeRawPointer, _ count: Int,
  _ values: UnsafeMutablePointer<Float>
) {
  type.decode(source, count: count, into: values)
}

/// See `KernelSet.roundToInt8`.
func roundToInt8(_ arguments: UnsafePointer<RoundedRow>) {
  round(arguments.pointee, largest: 127) { codes, index, value in
    codes.storeBytes(
      of: UInt8(truncatingIfNeeded: value &+ 128), toByteOffset: index, as: UInt8.self)
  }
}

/// See `KernelSet.roundToInt16`.
func roundToInt16(_ arguments: UnsafePointer<RoundedRow>) {
  round(arguments.pointee, largest: 32767) { codes, index, value in
    codes.storeBytes(
      of: Int16(truncatingIfNeeded: value), toByteOffset: 2 &* index, as: Int16.self)
  }
}

@inline(__always)
private func round(
  _ row: RoundedRow, largest: Float,
  _ store: (_ codes: UnsafeMutableRawPointer, _ index: Int, _ value: Int32) -> Void
) {
  for group in 0..<row.count / row.groupWidth {
    let x = row.source + row.groupWidth * group
    var magnitude: Float = 0
    var sum: Float = 0
    // Zero times an infinity or NaN is NaN, which must not be lost in rounding.
    var fault: Float = 0
    for index in 0..<row.groupWidth {
      magnitude = max(magnitude, abs(x[index]))
      sum += x[index]
      fault += x[index] * 0
    }
    let scale = magnitude / largest + fault
    row.scales[group * row.stride] = scale
    row.sums?[group * row.stride] = sum
    // A scale so small that its inverse overflows stands for zeros.
    let inverse = scale > 0x1p-126 && scale < .infinity ? 1 / scale : 0
    for index in 0..<row.groupWidth {
      let quotient = (x[index] * inverse).rounded(.toNearestOrEven)
      // Not finite only where the scale is NaN already.
      store(
        row.codes, row.groupWidth * group + index, abs(quotient) <= largest ? Int32(quotient) : 0)
    }
  }
}

/// Unpacking rows for matmuls, in each block format.
protocol RowUnpacking {
  /// See `KernelSet.unpack`.
  static func unpack(_ row: UnpackedRow)
}

/// See `KernelSet.unpack`.
func unpack(_ arguments: UnsafePointer<UnpackedRow>) {
  let row = arguments.pointee
  guard let number = row.type.ggufID, let format = codedFormat(ggmlType: number) else {
    preconditionFailure("a type without codes")
  }
  format.unpack(row)
}

extension BlockFormat {
  static func unpack(_ row: UnpackedRow) {
    let groups = elementsPerBlock / groupWidth
    withUnsafeTemporaryAllocation(of: Int8.self, capacity: 256) { codes in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 32) { factors in
        guard let codes = codes.baseAddress, let scales = factors.baseAddress else { return }
        for block in 0..<row.blocks {
          unpack(
            row.source + block * bytesPerBlock, codes: codes, scales: scales,
            minimums: scales + 16)
          for group in 0..<groups {
            let index = (block * groups + group) * row.stride
            row.scales[index] = scales[group]
            if hasMinimums {
              row.minimums[index] = scales[group + 16] + Float(center) * scales[group]
            }
            let sum = write(
              codes + group * groupWidth, count: groupWidth, minus: center, isWide: row.isWide,
              to: row.codes, at: block * elementsPerBlock + group * groupWidth)
            if !row.isWide { row.starts[index] = -128 * sum }
          }
        }
      }
    }
  }
}

/// Writes centred codes and returns their sum.
@inline(__always)
private func write(
  _ codes: UnsafePointer<Int8>, count: Int, minus center: Int8, isWide: Bool,
  to destination: UnsafeMutableRawPointer, at first: Int
) -> Int32 {
  var sum: Int32 = 0
  for index in 0..<count {
    let code = codes[index] &- center
    sum &+= Int32(code)
    if isWide {
      destination.storeBytes(of: Int16(code), toByteOffset: 2 &* (first &+ index), as: Int16.self)
    } else {
      destination.storeBytes(of: code, toByteOffset: first &+ index, as: Int8.self)
    }
  }
  return sum
}
