// The files of this folder round float32 rows to blocks. They are compiled into each target that
// holds kernels for one kind of CPU, so that they use that CPU's registers; as every operation is
// rounded by itself, the blocks are the same in all of them. Vectors are of eight lanes throughout.
//
// Small functions are transparent: what is merely to be inlined often is not in loops as large as
// these, which doubles their time, and calls of the standard library's generic functions would be
// code that targets for different CPUs share.
import BlockFormats
import KernelInterface

/// See `KernelSet.roundRows`.
func roundRows(_ arguments: UnsafePointer<RowsToRound>) {
  let rows = arguments.pointee
  let count = rows.rows &* rows.columns
  let isPlain = rows.importance == nil && !rows.isThorough
  switch rows.type {
  case .f32:
    rows.blocks.copyMemory(from: rows.values, byteCount: 4 &* count)
  case .f16: roundToFloat16(rows.values, count: count, into: rows.blocks)
  case .bf16: roundToBFloat16(rows.values, count: count, into: rows.blocks)
  case .q8_0: roundToQ8_0(rows.values, count: count, into: rows.blocks)
  case .q4_0 where isPlain, .q4_1 where isPlain, .q5_0 where isPlain, .q5_1 where isPlain:
    roundToLegacy(rows.type, rows.values, count: count, into: rows.blocks)
  case .q3_K, .q6_K, .iq4_xs: roundToScaledBlocks(rows)
  case .q2_K, .q4_K, .q5_K: roundToAffineBlocks(rows)
  case .q4_0, .q4_1, .q5_0, .q5_1, .iq4_nl: roundToSearchedBlocks(rows)
  default: preconditionFailure("no quantizer for this type")
  }
}
