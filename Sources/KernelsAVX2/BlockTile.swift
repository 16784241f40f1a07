import CIntrinsics
import KernelInterface

/// See `KernelSet.multiplyInt8Blocks`.
///
/// Centred codes are at most 8 in magnitude, so that sums of products with activations of up to 255
/// over half a group fit into 16 bits as they are: 255 · 8 · 16 = 32640. The instruction that joins
/// them in pairs multiplies them by their group's integer scale too; 32640 · 63 · 2 for each of 8
/// groups stays far below 2³¹. The 128 in activations is compensated, and float32 scales are
/// applied, once a block instead of once a group.
func multiplyInt8Blocks(_ tile: UnsafePointer<IntegerTile>) {
  switch tile.pointee.rows {
  case 1: multiplyBlocks(tile.pointee, rows: 1)
  case 2, 3: multiplyBlocks(tile.pointee, rows: 3)
  default: multiplyBlocks(tile.pointee, rows: 6)
  }
}

/// Sums of 32 bits while a block is computed, `[rowTile, columnTile]`.
private typealias BlockSums = (
  SIMD16<Int32>, SIMD16<Int32>, SIMD16<Int32>, SIMD16<Int32>, SIMD16<Int32>, SIMD16<Int32>
)

/// `rows` is 1, 3 or 6 and a constant wherever this is inlined.
@inline(__always)
private func multiplyBlocks(_ tile: IntegerTile, rows: Int) {
  let zero = SIMD16<Int32>()
  var sums: BlockSums = (zero, zero, zero, zero, zero, zero)
  withUnsafeMutablePointer(to: &sums) { sums in
    let sums = UnsafeMutableRawPointer(sums)
    let groupsPerBlock = 256 / tile.groupWidth
    var x = tile.activations
    var codes = tile.codes
    var starts = UnsafeRawPointer(tile.starts)
    var integerScales = UnsafeRawPointer(tile.integerScales)
    // Not a constant: see `multiplyInt8`.
    let steps = tile.groupWidth / Bytes.elementsPerStep
    for block in 0..<tile.groups / groupsPerBlock {
      let start = Row(starts)
      for row in 0..<rows { start.store(to: sums + 64 &* row) }
      for _ in 0..<groupsPerBlock {
        var group = TileSums(Bytes.self, &x, &codes, rows: rows)
        group.add(Bytes.self, &x, &codes, steps: steps &- 1, rows: rows)
        let scale = Row(integerScales)
        for row in 0..<rows { group[row].addProducts(scale, to: sums + 64 &* row) }
        integerScales += 4 &* columnTile
      }
      starts += 4 &* columnTile
      let scale = FloatRow(UnsafeRawPointer(tile.scales + block &* columnTile))
      for row in 0..<rows {
        let result = UnsafeMutableRawPointer(tile.result + row &* tile.resultStride)
        let xScale = tile.activationScales[block &* rowTile &+ row]
        Row(sums + 64 &* row).addTotals(Words.self, scale, xScale, to: result)
      }
    }
  }
}

extension Row {
  /// Adds the sums of pairs, times their integer scales, to sums of 32 bits.
  @inline(__always)
  fileprivate func addProducts(_ scale: Row, to sums: UnsafeMutableRawPointer) {
    var row = Row(sums)
    row.a = _mm256_add_epi32(row.a, _mm256_madd_epi16(a, scale.a))
    row.b = _mm256_add_epi32(row.b, _mm256_madd_epi16(b, scale.b))
    row.store(to: sums)
  }

  @inline(__always)
  fileprivate func store(to target: UnsafeMutableRawPointer) {
    target.storeBytes(of: a, as: SIMD4<Int64>.self)
    target.storeBytes(of: b, toByteOffset: 32, as: SIMD4<Int64>.self)
  }
}
