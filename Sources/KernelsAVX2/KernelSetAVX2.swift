import KernelInterface

/// Kernels for CPUs with AVX2, FMA and F16C: Intel since 2013, AMD since 2017 and earlier.
package let kernelSetAVX2 = KernelSet(
  name: "avx2", rowTile: rowTile, columnTile: columnTile, panelBytes: 16 << 10, largestInt8Sum: 512,
  multiplyFloats: multiplyFloats, multiplyInt8: multiplyInt8,
  multiplyInt8Blocks: multiplyInt8Blocks, multiplyInt16: multiplyInt16,
  multiplyRow: multiplyRow, continueSoftmax: continueSoftmax, transpose: transpose, unpack: unpack,
  decode: decode,
  roundToInt8: roundToInt8, roundToInt16: roundToInt16, roundRows: roundRows, panels: panelKernels,
  elementwise: elementwiseKernels, runPeakLoop: runPeakLoop)
