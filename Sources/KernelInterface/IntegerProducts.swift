/// Integer matmuls for CPUs with better instructions for them than the set whose tiles they use.
package struct IntegerProducts: Sendable {
  /// See the properties of `KernelSet` with these names.
  package let name: String
  package let largestInt8Sum: Int
  package let multiplyInt8: @Sendable (UnsafePointer<IntegerTile>) -> Void
  package let multiplyInt16: @Sendable (UnsafePointer<IntegerTile>) -> Void
  package let unpack: @Sendable (UnsafePointer<UnpackedRow>) -> Void
  package let runPeakLoop: @Sendable (PeakInstruction, Int) -> Double

  package init(
    name: String, largestInt8Sum: Int,
    multiplyInt8: @escaping @Sendable (UnsafePointer<IntegerTile>) -> Void,
    multiplyInt16: @escaping @Sendable (UnsafePointer<IntegerTile>) -> Void,
    unpack: @escaping @Sendable (UnsafePointer<UnpackedRow>) -> Void,
    runPeakLoop: @escaping @Sendable (PeakInstruction, Int) -> Double
  ) {
    self.name = name
    self.largestInt8Sum = largestInt8Sum
    self.multiplyInt8 = multiplyInt8
    self.multiplyInt16 = multiplyInt16
    self.unpack = unpack
    self.runPeakLoop = runPeakLoop
  }
}

extension KernelSet {
  /// This set with other integer matmuls, and without `multiplyInt8Blocks`.
  package func replacing(_ products: IntegerProducts) -> KernelSet {
    KernelSet(
      name: products.name, rowTile: rowTile, columnTile: columnTile, panelBytes: panelBytes,
      largestInt8Sum: products.largestInt8Sum, multiplyFloats: multiplyFloats,
      multiplyInt8: products.multiplyInt8, multiplyInt16: products.multiplyInt16,
      multiplyRow: multiplyRow, continueSoftmax: continueSoftmax, transpose: transpose,
      unpack: products.unpack, decode: decode, roundToInt8: roundToInt8,
      roundToInt16: roundToInt16, roundRows: roundRows, panels: panels, elementwise: elementwise,
      runPeakLoop: products.runPeakLoop)
  }
}
