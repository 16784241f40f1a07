// The files of this folder round float32 rows to blocks. They are compiled into each target that
// holds kernels for one kind of CPU, so that they use that CPU's registers; as every operation is
// rounded by itself, the blocks are the same in all of them. Vectors are of eight lanes throughout.
import BlockFormats
import KernelInterface

/// See `KernelSet.roundRows`.
func roundRows(_ arguments: UnsafePointer<RowsToRound>) {
  let rows = arguments.pointee
  let count = rows.rows &* rows.columns
  switch rows.type {
  case .f32:
    rows.blocks.copyMemory(from: rows.values, byteCount: 4 &* count)
  case .f16: roundToFloat16(rows.values, count: count, into: rows.blocks)
  case .bf16: roundToBFloat16(rows.values, count: count, into: rows.blocks)
  case .q8_0: roundToQ8_0(rows.values, count: count, into: rows.blocks)
  case .q4_0, .q4_1, .q5_0, .q5_1:
    roundToLegacy(rows.type, rows.values, count: count, into: rows.blocks)
  default: preconditionFailure("no quantizer for this type")
  }
}
