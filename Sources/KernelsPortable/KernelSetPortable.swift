import KernelInterface

/// Rows of activations in a tile.
let rowTile = 4
/// Outputs in a tile.
let columnTile = 8

/// Kernels in plain Swift, for every CPU.
package let kernelSetPortable = KernelSet(
  name: "portable", rowTile: rowTile, columnTile: columnTile, panelBytes: 16 << 10,
  largestInt8Sum: .max,
  multiplyFloats: multiplyFloats, multiplyInt8: multiplyInt8, multiplyInt16: multiplyInt16,
  continueSoftmax: continueSoftmax, transpose: transpose, unpack: unpack, decode: decode,
  roundToInt8: roundToInt8, roundToInt16: roundToInt16, roundRows: roundRows, panels: panelKernels,
  elementwise: elementwiseKernels, runPeakLoop: runPeakLoop)
