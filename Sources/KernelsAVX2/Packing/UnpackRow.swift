import BlockFormats
import CIntrinsics
import KernelInterface

/// Taking rows apart for products, in each block format.
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
  static func unpack(_ row: UnpackedRow) { unpackGroups(row, as: Self.self) }
}

extension IntegerScaledFormat {
  static func unpack(_ row: UnpackedRow) {
    unpackGroups(row, as: Self.self)
    unpackIntegerScales(row, as: Self.self)
  }
}

/// Integer scales, factors and starts of blocks where they are wanted.
@inline(__always)
private func unpackIntegerScales<Format: IntegerScaledFormat>(
  _ row: UnpackedRow, as format: Format.Type
) {
  guard let integerScales = row.integerScales else { return }
  let groups = Format.elementsPerBlock / Format.groupWidth
  for block in 0..<row.blocks {
    let (factor, packed) = Format.integerScales(row.source + block &* Format.bytesPerBlock)
    row.scales[block &* row.stride] = factor
    var start: Int32 = 0
    for group in 0..<groups {
      let bytes = group < 8 ? packed[0] : packed[1]
      let signed = Int8(truncatingIfNeeded: bytes &>> (8 &* UInt64(group & 7)))
      let index = (block &* groups &+ group) &* row.stride
      start &+= Int32(signed) &* startTotal(row.starts[index])
      // The same number in both halves, since sums come in pairs.
      let scale = UInt32(UInt16(bitPattern: Int16(signed)))
      integerScales[index] = Int32(bitPattern: scale | scale << 16)
    }
    // Takes the place of a start that has been read: of this block's first group or an earlier one.
    row.starts[block &* row.stride] = start
  }
}

@inline(__always)
private func unpackGroups<Format: BlockFormat>(_ row: UnpackedRow, as format: Format.Type) {
  let groups = Format.elementsPerBlock / Format.groupWidth
  // Room for one block's codes, scales and minimums: 256 bytes and twice 16 floats.
  var room = (SIMD64<UInt8>(), SIMD64<UInt8>(), SIMD64<UInt8>(), SIMD64<UInt8>())
  var factors = (SIMD16<Float>(), SIMD16<Float>())
  withUnsafeMutableBytes(of: &room) { room in
    withUnsafeMutableBytes(of: &factors) { factors in
      guard let codes = room.baseAddress?.assumingMemoryBound(to: Int8.self),
        let scales = factors.baseAddress?.assumingMemoryBound(to: Float.self)
      else { return }
      let minimums = scales + 16
      for block in 0..<row.blocks {
        Format.unpack(
          row.source + block &* Format.bytesPerBlock, codes: codes, scales: scales,
          minimums: minimums)
        let first = block &* groups &* row.stride
        for group in 0..<groups {
          let index = first &+ group &* row.stride
          if row.integerScales == nil { row.scales[index] = scales[group] }
          if Format.hasMinimums {
            row.minimums[index] = minimums[group] + Float(Format.center) * scales[group]
          }
        }
        finish(row, format, codes, block: block)
      }
    }
  }
}

/// Centres and writes the codes of one block, and what compensates the 128 in activations.
@inline(__always)
private func finish<Format: BlockFormat>(
  _ row: UnpackedRow, _ format: Format.Type, _ codes: UnsafePointer<Int8>, block: Int
) {
  let center = _mm256_set1_epi8(Format.center)
  let codes = UnsafeRawPointer(codes)
  for run in 0..<Format.elementsPerBlock / 32 {
    var bytes = codes.loadUnaligned(fromByteOffset: 32 &* run, as: SIMD4<Int64>.self)
    if Format.hasMinimums { bytes = _mm256_sub_epi8(bytes, center) }
    let element = block &* Format.elementsPerBlock &+ 32 &* run
    if row.isWide {
      let low = _mm256_cvtepi8_epi16(bytes.lowHalf)
      let high = _mm256_cvtepi8_epi16(bytes.highHalf)
      row.codes.storeBytes(of: low, toByteOffset: 2 &* element, as: SIMD4<Int64>.self)
      row.codes.storeBytes(of: high, toByteOffset: 2 &* element &+ 32, as: SIMD4<Int64>.self)
    } else {
      row.codes.storeBytes(of: bytes, toByteOffset: element, as: SIMD4<Int64>.self)
      let group = element / Format.groupWidth &* row.stride
      let halves = groupStarts(bytes)
      if Format.groupWidth == 32 {
        row.starts[group] = joinStarts(halves.first, halves.second)
      } else {
        row.starts[group] = halves.first
        row.starts[group &+ row.stride] = halves.second
      }
    }
  }
}

/// The table's entries at sixteen indices below 16.
@inline(__always)
func lookUp(_ indices: SIMD16<UInt8>, in table: SIMD16<Int8>) -> SIMD16<UInt8> {
  unsafeBitCast(
    _mm_shuffle_epi8(
      unsafeBitCast(table, to: SIMD2<Int64>.self), unsafeBitCast(indices, to: SIMD2<Int64>.self)),
    to: SIMD16<UInt8>.self)
}
