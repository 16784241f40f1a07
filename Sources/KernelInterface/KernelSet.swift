import BlockFormats

/// The inner loops for one kind of CPU, as a table of functions that is filled once.
///
/// Matmuls are computed tile by tile: `rowTile` rows of activations times `columnTile` rows of the
/// weight (outputs). Both sides are packed first, so that a tile reads them from end to end. All
/// functions take raw memory, which the caller has made large enough.
///
/// Each element of a product is summed in the same order whatever tile it falls into and whatever
/// rows are computed beside it, so results do not depend on how work is cut up.
package struct KernelSet: Sendable {
  /// The name that `AURAFLOW_KERNELS` takes.
  package let name: String
  /// Rows of activations in one tile.
  package let rowTile: Int
  /// Outputs in one tile.
  package let columnTile: Int
  /// Bytes of packed weights that stay in the first-level cache beside a tile of activations.
  package let panelBytes: Int
  /// The largest magnitude of a sum of a group's codes that `multiplyInt8` takes; types with larger
  /// ones use `multiplyInt16`.
  package let largestInt8Sum: Int
  /// Multiplies one tile in float32.
  package let multiplyFloats: @Sendable (UnsafePointer<FloatTile>) -> Void
  /// Multiplies one tile of weight codes by 8-bit activations.
  package let multiplyInt8: @Sendable (UnsafePointer<IntegerTile>) -> Void
  /// Multiplies one tile of weight codes with integer scales by 8-bit activations that share a
  /// scale in each block of 256; nil where `multiplyInt8` is as fast. Takes sums of codes up to
  /// half of `largestInt8Sum`.
  package let multiplyInt8Blocks: (@Sendable (UnsafePointer<IntegerTile>) -> Void)?
  /// Multiplies one tile of weight codes by 16-bit activations.
  package let multiplyInt16: @Sendable (UnsafePointer<IntegerTile>) -> Void
  /// Multiplies rows of a weight by a single row of quantized activations; nil in sets without it,
  /// which use tiles.
  package let multiplyRow: (@Sendable (UnsafePointer<RowProduct>) -> Void)?
  /// Continues the online softmax of one row.
  package let continueSoftmax: @Sendable (UnsafeMutablePointer<SoftmaxRow>) -> Void
  /// Writes the transpose of a matrix of 4-byte elements.
  package let transpose: @Sendable (UnsafePointer<Transposition>) -> Void
  /// Unpacks part of a weight's row into codes and scales.
  package let unpack: @Sendable (UnsafePointer<UnpackedRow>) -> Void
  /// Converts F16 or BF16 elements to float32: type, source, count, values.
  package let decode:
    @Sendable (ElementType, UnsafeRawPointer, Int, UnsafeMutablePointer<Float>) -> Void
  /// Quantizes one row of activations to 8 bits.
  package let roundToInt8: @Sendable (UnsafePointer<RoundedRow>) -> Void
  /// Quantizes one row of activations to 16 bits.
  package let roundToInt16: @Sendable (UnsafePointer<RoundedRow>) -> Void
  /// Quantizes float32 rows to blocks of a type.
  package let roundRows: @Sendable (UnsafePointer<RowsToRound>) -> Void
  /// Quantizes columns of eight rows to blocks of a type, each column as the errors of the others
  /// ask for.
  package let panels: PanelKernels
  /// Elementwise functions between matmuls.
  package let elementwise: ElementwiseKernels
  /// Runs eight independent chains of the instruction that limits a kind of matmul, for a number of
  /// steps, and returns the number of operations: the peak that matmuls are measured against.
  package let runPeakLoop: @Sendable (PeakInstruction, Int) -> Double

  package init(
    name: String, rowTile: Int, columnTile: Int, panelBytes: Int, largestInt8Sum: Int,
    multiplyFloats: @escaping @Sendable (UnsafePointer<FloatTile>) -> Void,
    multiplyInt8: @escaping @Sendable (UnsafePointer<IntegerTile>) -> Void,
    multiplyInt8Blocks: (@Sendable (UnsafePointer<IntegerTile>) -> Void)? = nil,
    multiplyInt16: @escaping @Sendable (UnsafePointer<IntegerTile>) -> Void,
    multiplyRow: (@Sendable (UnsafePointer<RowProduct>) -> Void)? = nil,
    continueSoftmax: @escaping @Sendable (UnsafeMutablePointer<SoftmaxRow>) -> Void,
    transpose: @escaping @Sendable (UnsafePointer<Transposition>) -> Void,
    unpack: @escaping @Sendable (UnsafePointer<UnpackedRow>) -> Void,
    decode:
      @escaping @Sendable (ElementType, UnsafeRawPointer, Int, UnsafeMutablePointer<Float>) -> Void,
    roundToInt8: @escaping @Sendable (UnsafePointer<RoundedRow>) -> Void,
    roundToInt16: @escaping @Sendable (UnsafePointer<RoundedRow>) -> Void,
    roundRows: @escaping @Sendable (UnsafePointer<RowsToRound>) -> Void,
    panels: PanelKernels,
    elementwise: ElementwiseKernels,
    runPeakLoop: @escaping @Sendable (PeakInstruction, Int) -> Double
  ) {
    self.name = name
    self.rowTile = rowTile
    self.columnTile = columnTile
    self.panelBytes = panelBytes
    self.largestInt8Sum = largestInt8Sum
    self.multiplyFloats = multiplyFloats
    self.multiplyInt8 = multiplyInt8
    self.multiplyInt8Blocks = multiplyInt8Blocks
    self.multiplyInt16 = multiplyInt16
    self.multiplyRow = multiplyRow
    self.continueSoftmax = continueSoftmax
    self.transpose = transpose
    self.unpack = unpack
    self.decode = decode
    self.roundToInt8 = roundToInt8
    self.roundToInt16 = roundToInt16
    self.roundRows = roundRows
    self.panels = panels
    self.elementwise = elementwise
    self.runPeakLoop = runPeakLoop
  }
}
