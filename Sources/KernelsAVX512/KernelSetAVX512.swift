import KernelInterface

/// Kernels for CPUs with AVX-512 (F, BW, VL, DQ) and VNNI: Intel since 2019, AMD since 2022.
package let kernelSetAVX512 = KernelSet(
  name: "avx512", rowTile: rowTile, columnTile: columnTile, panelBytes: 32 << 10,
  largestInt8Sum: .max,
  multiplyFloats: multiplyFloats, multiplyInt8: multiplyInt8, multiplyInt16: multiplyInt16,
  multiplyRow: multiplyRow, continueSoftmax: continueSoftmax, transpose: transpose, unpack: unpack,
  decode: decode,
  roundToInt8: roundToInt8, roundToInt16: roundToInt16, roundRows: roundRows, panels: panelKernels,
  elementwise: elementwiseKernels, runPeakLoop: runPeakLoop)
