import KernelInterface
import KernelsAVX2

/// Kernels for CPUs with AVX2 and the VNNI instructions for its registers: Intel since 2021 (12th
/// generation; N100 and other small cores since 2023), which have no AVX-512, and AMD since 2024.
///
/// What is not a product of integers is that of AVX2. Scales of groups need fewer instructions here
/// than sums of blocks do there, and rounding activations group by group costs less.
package let kernelSetAVXVNNI = KernelSet(
  name: "avxvnni", rowTile: rowTile, columnTile: columnTile, panelBytes: kernelSetAVX2.panelBytes,
  largestInt8Sum: .max,
  multiplyFloats: kernelSetAVX2.multiplyFloats, multiplyInt8: multiplyInt8,
  multiplyInt16: multiplyInt16, multiplyRow: kernelSetAVX2.multiplyRow,
  continueSoftmax: kernelSetAVX2.continueSoftmax, transpose: kernelSetAVX2.transpose,
  unpack: unpack, decode: kernelSetAVX2.decode, roundToInt8: kernelSetAVX2.roundToInt8,
  roundToInt16: kernelSetAVX2.roundToInt16, roundRows: kernelSetAVX2.roundRows,
  elementwise: kernelSetAVX2.elementwise, runPeakLoop: runPeakLoop)
